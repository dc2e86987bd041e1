import {
  callsToCharge,
  finishedCalls,
  listingSwitches,
  signedContracts,
} from '../../../lib/call/queues.ts';
import { busVariable } from '../../../lib/platform/names.ts';
import { k3 } from '../../../local/simulators/k3.ts';
import { paymentCentre } from '../../../local/simulators/payment.ts';
import { exchangeOf } from '../partners.ts';
import type { Act, Scenario, Stage } from '../run-scenario.ts';
import { contractPoster, notInK3, poster, type Signed } from './accounting.ts';
import { booksOf } from './books.ts';
import {
  callNamed,
  consumersOf,
  depsWith,
  priceFen,
  resumer,
  setAccount,
  settingsOf,
  settler,
  startedAt,
} from './call.ts';
import { deliverer } from './deliverer.ts';
import { first, missingIncome, wrongIncome } from './income-books.ts';

const owners = 25;
const callers = 60;
const contracts = 30;
const actSeconds = 400;
const daySeconds = 86_400;
/** Checks read all rows, so with so many calls they run once in this many writes. */
const lookEvery = 130;

/**
 * Thousands of calls in one run, from the 400 service's message to income and contract: none is lost or counted twice,
 * and at the end the payment centre's ledger, the payment log and income agree to the fen.
 */
export const callsOf = (count: number): Scenario => ({
  name: `calls-${count}`,
  long: true,
  tables: [
    ...['signalbox.outbox', 'signalbox.claim', 'signalbox.audit'],
    ...[
      'call_pair',
      'charge_stop',
      'broker_phone',
      'broker_phone_run',
      'sublessor_call_log_201409',
    ].map(qualified),
    ...['sublessor_call_payment_log_201409', 'sublessor_accounting_income_201409'].map(qualified),
    ...['contract', 'contract_posting', 'income_cursor', 'income_open', 'account'].map((name) =>
      qualified(`sublessor_${name}`),
    ),
  ],
  begin: (stage) => {
    const { world, queues } = stage;
    process.env[busVariable] = 'simulated';
    const centre = paymentCentre(() => new Date(world.nowMs));
    const erp = k3();
    const settings = settingsOf(perOwnerMax);
    const depsOf = depsWith(stage, centre, settings);
    for (const queue of [finishedCalls, callsToCharge, listingSwitches, signedContracts])
      queues.open(queue);
    const books = booksOf(stage, centre, priceFen);
    const signed = contractsOf(stage);
    const failed: string[] = [];
    let writes = 0;
    const look = async () => failed[0] ?? (await books.wrong()) ?? (await wrongIncome(stage));
    return {
      turnsMax: 400 * count,
      consumers: [...consumersOf(depsOf), contractPoster(stage, settings, exchangeOf(erp))],
      schedules: [
        ...[settler(depsOf), resumer(stage, depsOf), poster(stage, settings.pageRowsMax, failed)],
        deliverer(stage),
      ],
      script: [
        ...callsIn(stage, count, centre),
        ...signed.map(({ atSeconds, body }) => ({
          atSeconds,
          act: () => queues.put(queues.open(signedContracts), JSON.stringify(body)),
        })),
      ],
      safety: async () => (++writes % lookEvery ? undefined : await look()),
      unsettled: async () =>
        (await look()) ??
        (await books.open()) ??
        (await missingIncome(stage)) ??
        notInK3(erp.state(), signed) ??
        (await unequal(stage, centre)),
    };
  },
});

const qualified = (table: string) => `user_prop_db.${table}`;
/** An owner gets about six calls a minute, so some charge stops trip, and a person lifts them. */
const perOwnerMax = 8;

function contractsOf({ faults: { random } }: Stage): Signed[] {
  return Array.from({ length: contracts }, (_, index) => ({
    atSeconds: random.between(0, actSeconds),
    body: {
      contract_id: 501 + index,
      contract_no: `C-${501 + index}`,
      customer: '客户',
      user_id: random.between(1, owners),
      amount_fen: random.between(1, 20 * priceFen),
      signed_at: `2026-02-${String(random.between(1, 28)).padStart(2, '0')} 10:00:00`,
    },
  }));
}

/** Calls over three days, some exactly a day apart, some sent twice, some of owners without money or account. */
function callsIn(
  { faults: { random }, queues, databases }: Stage,
  count: number,
  centre: ReturnType<typeof paymentCentre>,
): Act[] {
  const script: Act[] = [
    {
      atSeconds: 0,
      act: () => {
        for (let owner = 1; owner < owners; owner++)
          setAccount(centre, owner, priceFen * random.between(0, 60) + random.between(0, 1));
        // The last owner has no account.
      },
    },
    {
      atSeconds: random.between(0, actSeconds),
      act: async () => {
        await databases.admin.query(
          "replace into user_prop_db.broker_phone values (7, '13900000007', '13900000007', null)",
        );
      },
    },
  ];
  const edges = [0, 1, daySeconds - 1, daySeconds, daySeconds + 1];
  const queue = queues.open(finishedCalls);
  for (let id = 1; id <= count; id++) {
    const edge = edges[random.between(0, edges.length - 1)] ?? 0;
    const seconds = random.happens(0.3) ? edge : random.between(0, 3 * daySeconds);
    const digits = `139${String(random.between(1, callers)).padStart(8, '0')}`;
    const body = callNamed(id, {
      caller: random.happens(0.2) ? `+86 ${digits}` : digits,
      user_id: random.between(1, owners),
      status: random.happens(0.1) ? 0 : 1,
      duration: random.happens(0.1) ? 8 : 60,
      started_at: startedAt(seconds),
      call_type: random.between(1, 2),
    });
    const copies = random.happens(0.2) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++)
      script.push({
        atSeconds: random.between(0, actSeconds),
        act: () => queues.put(queue, body),
      });
  }
  return script;
}

/** Compares the sums of the three books. */
async function unequal(
  stage: Stage,
  centre: ReturnType<typeof paymentCentre>,
): Promise<string | undefined> {
  const { trades } = centre.state() as { trades: { state: string; amount: number }[] };
  const ledger = trades
    .filter(({ state }) => state === 'done')
    .reduce((sum, { amount }) => sum + amount, 0);
  const sums = await first(
    stage,
    `select (select coalesce(sum(amount_fen), 0) from ${qualified('sublessor_call_payment_log_201409')}
       where state = 'charged') log,
     (select coalesce(sum(amount_fen), 0) from ${qualified('sublessor_accounting_income_201409')}) income`,
  );
  const [log, income] = [Number(sums?.['log']), Number(sums?.['income'])];
  if (ledger === log && log === income) return undefined;
  return `The payment centre has ${ledger} fen, the payment log ${log}, income ${income}.`;
}
