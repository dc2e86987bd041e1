import { postContract } from '../../../lib/call/accounting/post-contract.ts';
import { postIncome } from '../../../lib/call/accounting/post-income.ts';
import type { AccountingTables } from '../../../lib/call/accounting-tables.ts';
import { k3 as k3Client } from '../../../lib/call/partners/k3.ts';
import { payments } from '../../../lib/call/partners/payment-centre.ts';
import { listingSwitches, signedContracts } from '../../../lib/call/queues.ts';
import type { CallSettings } from '../../../lib/call/settings.ts';
import { resumeReversals, reverseCharge } from '../../../lib/call/settlement/reverse-charge.ts';
import { callSwitches } from '../../../lib/call/switches.ts';
import { consume } from '../../../lib/platform/messaging/consume.ts';
import type { Exchange } from '../../../lib/platform/partners/http-exchange.ts';
import { wallTimeMs } from '../../../lib/platform/time.ts';
import { paymentAccount } from '../../../local/secrets.ts';
import { accountSet, k3 } from '../../../local/simulators/k3.ts';
import { paymentCentre } from '../../../local/simulators/payment.ts';
import { mysqlOf } from '../database.ts';
import { exchangeOf } from '../partners.ts';
import type { Act, Consumer, Scenario, Scheduled, Stage } from '../run-scenario.ts';
import { deliverer } from './deliverer.ts';
import { first, missingIncome, wrongIncome } from './income-books.ts';
import { switching, switchTables } from './switching.ts';

const [log, income, contracts] = [
  'user_prop_db.sublessor_call_payment_log_201409',
  'user_prop_db.sublessor_accounting_income_201409',
  'user_prop_db.sublessor_contract',
];
const owners = ['7001', '7002'];
const priceFen = 4_000;
const firstId = 820_000_000_001n;
/** So small that several pages are needed. */
const pageRowsMax = 3;
const swarmCharges = 10;
const swarmSeconds = 600;
/** The longest time from a charge to its settlement. */
const lateSecondsMax = 900;
const settings = {
  payment_base_api_url: 'https://payment.simulated',
  payment_api_timeout: 1_000,
  k3_url: 'https://k3.simulated',
  KDAccount: accountSet,
};

/** Actions of the outside world: a payment gets its id, becomes visible and is settled at different times. */
interface Charging {
  readonly id: string;
  readonly userId: string;
  readonly seenSeconds: number;
  readonly settledSeconds: number;
  readonly refused: boolean;
  readonly reversed: boolean;
}

/** Charges become visible late and in any order, contracts come before and after them, wrong charges are reversed. */
export const accounting: Scenario = {
  name: 'accounting',
  tables: [
    ...['signalbox.outbox', 'signalbox.claim', ...switchTables, log, income, contracts],
    ...['contract_posting', 'income_cursor', 'income_open', 'account'].map(
      (name) => `user_prop_db.sublessor_${name}`,
    ),
  ],
  begin: (stage) => {
    const { world, queues } = stage;
    const now = () => new Date(world.nowMs);
    const partners = { centre: paymentCentre(now), erp: k3() };
    const kill = switching(stage, callSwitches, ['partner/payment', 'partner/k3'], swarmSeconds);
    const exchange = { centre: exchangeOf(partners.centre), erp: exchangeOf(partners.erp) };
    const clientOf = (exchange: Exchange) =>
      payments(
        async () => settings,
        async () => paymentAccount,
        exchange,
      );
    const centre = clientOf(exchange.centre);
    const asked = clientOf(kill.watched(exchange.centre, 'partner/payment'));
    const erp = kill.watched(exchange.erp, 'partner/k3');
    const [charges, signed] = plan(stage);
    const queue = queues.open(signedContracts);
    const dead = queues.dead(signedContracts);
    const told = queues.open(listingSwitches);
    const wanted = new Set<string>();
    const failed: string[] = [];
    for (const user_id of owners)
      partners.centre.controls?.['/__accounts']?.({ user_id, balance: 10_000_000 });
    return {
      consumers: [contractPoster(stage, settings, erp, kill.off), switchesSeen],
      schedules: [
        poster(stage, pageRowsMax, failed),
        reverser(stage, asked, wanted, kill.off),
        deliverer(stage),
      ],
      script: [
        ...charges.flatMap((charge) => acts(stage, centre, charge, wanted)),
        ...signed.map(({ atSeconds, body }) => ({
          atSeconds,
          act: () => queues.put(queue, JSON.stringify(body)),
        })),
        ...kill.acts,
      ],
      safety: async () =>
        kill.broken() ??
        (await wrongIncome(stage)) ??
        failed[0] ??
        wrongRefunds(partners.centre.state()) ??
        (dead.sent[0] && `Dead-lettered: ${dead.sent[0].body} because ${dead.sent[0].reason}`),
      unsettled: async () =>
        (await missingIncome(stage)) ??
        (await notReversed(stage, wanted)) ??
        notTold(partners.centre.state(), told.sent) ??
        notInK3(partners.erp.state(), signed),
    };
  },
};

export interface Signed {
  readonly atSeconds: number;
  readonly body: { readonly contract_no: string } & Record<string, unknown>;
}

function plan({ faults: { exact, random } }: Stage): [Charging[], Signed[]] {
  const count = exact ? 3 : swarmCharges;
  const between = (most: number) => (exact ? 0 : random.between(0, most));
  const charges = Array.from({ length: count }, (_, index) => {
    const seenSeconds = exact ? (index === 0 ? 5 : 0) : between(swarmSeconds);
    return {
      id: String(firstId + BigInt(index)),
      userId: (exact ? owners[0] : owners[random.between(0, 1)]) ?? '',
      seenSeconds,
      settledSeconds: seenSeconds + (exact ? (index === 0 ? 70 : 0) : between(lateSecondsMax)),
      refused: !exact && random.happens(0.1),
      reversed: exact ? index === 1 : random.happens(0.3),
    };
  });
  const signed = Array.from({ length: exact ? 1 : 4 }, (_, index) => ({
    atSeconds: exact ? 65 : between(swarmSeconds),
    body: {
      contract_id: 501 + index,
      contract_no: `C-${501 + index}`,
      customer: '客户',
      user_id: exact ? owners[0] : owners[random.between(0, 1)],
      amount_fen: exact ? 6_000 : random.between(1, 30_000),
      signed_at: `2026-02-${String(1 + between(20)).padStart(2, '0')} 10:00:00`,
    },
  }));
  return [charges, signed];
}

/** Inserts a payment's row, perhaps after one with a higher id, and later its result; then it may be reversed. */
function acts(
  { databases: { admin }, world }: Stage,
  centre: ReturnType<typeof payments>,
  { id, userId, seenSeconds, settledSeconds, refused, reversed }: Charging,
  wanted: Set<string>,
): Act[] {
  const at = () => wallTimeMs(new Date(world.nowMs));
  return [
    {
      atSeconds: seenSeconds,
      act: async () => {
        await admin.query(
          `insert into ${log} (id, call_log_id, user_id, amount_fen, state, created_at, updated_at)
           values (?, ?, ?, ?, 'sent', ?, ?)`,
          [id, id, userId, priceFen, at(), at()],
        );
      },
    },
    {
      atSeconds: settledSeconds,
      act: async () => {
        if (!refused) await centre.deduct({ tradeId: id, userId, amountFen: priceFen });
        const state = refused ? 'refused' : 'charged';
        await admin.query(`update ${log} set state = ?, updated_at = ? where id = ?`, [
          ...[state, at(), id],
        ]);
        if (reversed && !refused) wanted.add(id);
      },
    },
  ];
}

type Off = ReturnType<typeof switching>['off'];
const noSwitch: Off = () => async () => undefined;

/** call/post-contract. */
export const contractPoster = (
  { databases, world }: Stage,
  { k3_url, KDAccount }: Pick<CallSettings, 'k3_url' | 'KDAccount'>,
  erp: Exchange,
  off: Off = noSwitch,
): Consumer => ({
  queue: signedContracts,
  timeoutSeconds: 30,
  handlerOf: (worker) => {
    const mysql = mysqlOf<AccountingTables>(databases, world, worker);
    const document = async () => ({ k3_url, KDAccount });
    const deps = {
      mysql,
      k3: k3Client(document, erp),
      settings: document,
      clock: () => new Date(world.nowMs),
      firstSwitchOff: off(worker),
    };
    return consume(signedContracts, (one) => postContract(deps, one), { mysql: mysql as never });
  },
});

/** Consumes switch-listings messages without an effect: another scenario tests switching. */
export const switchesSeen: Consumer = {
  queue: listingSwitches,
  timeoutSeconds: 10,
  handlerOf: () => consume(listingSwitches, async () => 'accepted'),
};

/** call/post-income. No payment of this scenario can fail by itself; any that does is added to `failed`. */
export const poster = (
  { databases, world }: Stage,
  pageRowsMax: number,
  failed: string[],
): Scheduled => ({
  name: 'post-income',
  everySeconds: 60,
  timeoutSeconds: 55,
  run: async (worker, remaining) => {
    const result = await postIncome(
      { mysql: mysqlOf(databases, world, worker), settings: async () => ({ pageRowsMax }) },
      { remaining },
    );
    if ('notPosted' in result) failed.push(`${result['notPosted']} payments could not be posted.`);
  },
});

/** A person repeats each reversal until it is done; call/settle-unknown-charges resumes it as well. */
const reverser = (
  { databases, world }: Stage,
  centre: ReturnType<typeof payments>,
  wanted: ReadonlySet<string>,
  off: Off,
): Scheduled => ({
  name: 'reverse-charge',
  everySeconds: 90,
  timeoutSeconds: 55,
  run: async (worker, remaining) => {
    const mysql = mysqlOf<AccountingTables>(databases, world, worker);
    const deps = { mysql, payments: centre, firstSwitchOff: off(worker) };
    for (const payment_id of wanted)
      await reverseCharge(deps, { payment_id, by: 'lena', why: 'wrong' });
    await resumeReversals(deps, { remaining });
  },
});

function wrongRefunds(state: unknown): string | undefined {
  const { trades } = state as { trades: { original_trade_id?: string }[] };
  const refunded = trades.flatMap(({ original_trade_id }) => original_trade_id ?? []);
  const twice = refunded.find((id, index) => refunded.indexOf(id) !== index);
  return twice && `Payment ${twice} was given back twice.`;
}

async function notReversed(stage: Stage, wanted: ReadonlySet<string>): Promise<string | undefined> {
  for (const id of wanted)
    if (!(await first(stage, `select 1 from ${log} where reverses_id = ${id}`)))
      return `Payment ${id} is not reversed.`;
  return undefined;
}

/** Checks that an event with the new balance was sent for each owner who got a refund. */
function notTold(state: unknown, sent: readonly { readonly body: string }[]): string | undefined {
  const { trades } = state as {
    trades: { user_id: string; original_trade_id?: string; balance: number }[];
  };
  const told = sent.map(({ body }) => JSON.parse(body) as { user_id: string; balance: number });
  const untold = trades.find(
    ({ user_id, original_trade_id, balance }) =>
      original_trade_id && !told.some((one) => one.user_id === user_id && one.balance === balance),
  );
  return untold && `Nobody was told that ${untold.user_id} has ${untold.balance} fen again.`;
}

export function notInK3(state: unknown, signed: readonly Signed[]): string | undefined {
  const posted = Object.keys((state as { contracts: object }).contracts);
  const absent = signed.find(({ body }) => !posted.includes(body.contract_no));
  return absent && `Contract ${absent.body.contract_no} is not in K3.`;
}
