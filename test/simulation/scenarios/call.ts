import * as z from 'zod';
import { chargeCall } from '../../../lib/call/charging/charge-call.ts';
import { resumeCharging } from '../../../lib/call/charging/resume-charging.ts';
import { filterCall } from '../../../lib/call/filtering/filter-call.ts';
import { payments } from '../../../lib/call/partners/payment-centre.ts';
import { callsToCharge, finishedCalls, listingSwitches } from '../../../lib/call/queues.ts';
import type { CallSettings } from '../../../lib/call/settings.ts';
import { settleUnknownCharges } from '../../../lib/call/settlement/settle-unknown-charges.ts';
import { callSwitches } from '../../../lib/call/switches.ts';
import type { CallTables } from '../../../lib/call/tables.ts';
import { bus } from '../../../lib/platform/messaging/bus.ts';
import { consume } from '../../../lib/platform/messaging/consume.ts';
import { deliverBy, queueChannel as queuesOf } from '../../../lib/platform/messaging/outbox.ts';
import { busVariable } from '../../../lib/platform/names.ts';
import { wallTime } from '../../../lib/platform/time.ts';
import { paymentAccount } from '../../../local/secrets.ts';
import { accountSet } from '../../../local/simulators/k3.ts';
import { paymentCentre } from '../../../local/simulators/payment.ts';
import { mysqlOf } from '../database.ts';
import { exchangeOf } from '../partners.ts';
import type { Act, Consumer, Scenario, Scheduled, Stage } from '../run-scenario.ts';
import { type Boundary, startMs, type Worker } from '../world.ts';
import { switchesSeen } from './accounting.ts';
import { booksOf } from './books.ts';
import { deliverer } from './deliverer.ts';
import { type Forbids, switching, switchTables, writing } from './switching.ts';

/** `perOwnerMax`: the charges of one owner in a minute above which the owner's charge stop trips. */
export const settingsOf = (perOwnerMax: number): CallSettings => ({
  '400_postcallinfo_dyz': { routing_keys: ['simulated'] },
  filter_call_time_rule_threshold: 8,
  filter_last_call_time_rule_threshold: 86_400,
  payment_price_per_call: 40,
  payment_base_api_url: 'https://payment.simulated',
  payment_api_timeout: 5_000,
  listing_api_url: 'https://listing.simulated',
  k3_url: 'https://k3.simulated',
  KDAccount: accountSet,
  chargesPerMinuteMax: 600,
  chargesPerMinutePerOwnerMax: perOwnerMax,
  stuckAfterMinutes: 10,
  shadow: false,
  history_schema: 'sublessor_history',
  safetyLagSeconds: 5,
  overlapSeconds: 600,
  pageRowsMax: 1000,
});

export const priceFen = 4_000;
const swarmCalls = 9;
const swarmSeconds = 400;
const names = ['call/filter-call', 'charging', 'partner/payment'] as const;
const daySeconds = 86_400;

const beginning = writing(/^\s*insert into user_prop_db\.sublessor_call_payment_log_201409/);
/** Effects that each kill switch forbids: storing and deciding calls; inserting and sending charges. */
const stopped = {
  'call/filter-call': writing(/^\s*(insert into|update) user_prop_db\.sublessor_call_log_201409/),
  charging: (boundary: Boundary) =>
    beginning(boundary) || (boundary.kind === 'http' && boundary.label.endsWith('/trade/deduct')),
} satisfies Partial<Record<(typeof names)[number], Forbids>>;

/** Calls are filtered and charged under faults; at the end all books agree to the fen. */
export const call: Scenario = {
  name: 'call',
  tables: [
    ...['signalbox.outbox', 'signalbox.claim', 'user_prop_db.call_pair'],
    ...['user_prop_db.sublessor_call_log_201409', 'user_prop_db.charge_stop'],
    ...['user_prop_db.sublessor_call_payment_log_201409', 'user_prop_db.broker_phone'],
    'user_prop_db.broker_phone_run',
    ...switchTables,
  ],
  begin: (stage) => {
    const { world, faults, queues } = stage;
    process.env[busVariable] = 'simulated';
    const centre = paymentCentre(() => new Date(world.nowMs));
    // So low that charge stops trip in a swarm; a person lifts them.
    const settings = settingsOf(faults.exact ? 20 : 2);
    const kill = switching(stage, callSwitches, names, swarmSeconds, stopped);
    const asked = faults.exact ? centre : misdirecting(centre);
    const depsOf = depsWith(stage, centre, settings, { asked, kill });
    const opened = [finishedCalls, callsToCharge, listingSwitches].map(queues.open);
    const [calls] = opened;
    if (!calls) throw new Error('There is no queue of calls.');
    const send = (body: string) => queues.put(calls, body);
    const books = booksOf(stage, centre, priceFen);
    return {
      consumers: consumersOf(depsOf),
      schedules: [settler(depsOf), resumer(stage, depsOf), deliverer(stage)],
      script: [...(faults.exact ? fixedScript : chanceScript)(stage, centre, send), ...kill.acts],
      passed: kill.passed,
      safety: async () => kill.broken() ?? (await books.wrong()),
      unsettled: async () => await books.open(),
    };
  },
};

type Centre = ReturnType<typeof paymentCentre>;
type DepsOf = ReturnType<typeof depsWith>;

const misdirectedEvery = 5;

/** Executes every fifth charge but answers with the refusal of another trade. */
function misdirecting(centre: Centre): Centre {
  let asked = 0;
  return {
    ...centre,
    handle: async (call) => {
      const reply = await centre.handle(call);
      if (call.path !== '/trade/deduct' || ++asked % misdirectedEvery) return reply;
      const { trade_id } = z.object({ trade_id: z.string() }).parse(call.body);
      return { body: { code: 4001, trade_id: String(BigInt(trade_id) + 1n), balance: 0 } };
    },
  };
}

export function depsWith(
  { databases, world }: Stage,
  centre: Centre,
  settings: CallSettings,
  { asked = centre, kill }: { asked?: Centre; kill?: ReturnType<typeof switching> } = {},
) {
  const direct = exchangeOf(asked);
  const exchange = kill?.watched(direct, 'partner/payment') ?? direct;
  const document = async () => settings;
  return (worker: Worker) => ({
    mysql: mysqlOf<CallTables>(databases, world, worker),
    settings: document,
    payments: payments(document, async () => paymentAccount, exchange),
    deliver: deliverBy(queuesOf(callsToCharge, listingSwitches), bus()),
    firstSwitchOff: kill?.off(worker) ?? (async () => undefined),
    requireBrokersKnown: async () => {},
    now: () => new Date(world.nowMs + worker.skewMs),
  });
}

export function consumersOf(depsOf: DepsOf): Consumer[] {
  return [
    {
      queue: finishedCalls,
      timeoutSeconds: 10,
      handlerOf: (worker) => {
        const deps = depsOf(worker);
        return consume(finishedCalls, (one) => filterCall(deps, one), {
          mysql: deps.mysql as never,
        });
      },
    },
    {
      queue: callsToCharge,
      timeoutSeconds: 40,
      handlerOf: (worker) => {
        const deps = depsOf(worker);
        return consume(callsToCharge, (one) => chargeCall(deps, one), {
          mysql: deps.mysql as never,
        });
      },
    },
    switchesSeen,
  ];
}

export const settler = (depsOf: DepsOf): Scheduled => ({
  name: 'settle-unknown-charges',
  everySeconds: 300,
  timeoutSeconds: 240,
  run: (worker, remaining) => settleUnknownCharges(depsOf(worker), { remaining }),
});

/** A person who lifts all charge stops every half hour. */
export const resumer = ({ databases }: Stage, depsOf: DepsOf): Scheduled => ({
  name: 'resume-charging',
  everySeconds: 1_800,
  timeoutSeconds: 240,
  run: async (worker, remaining) => {
    const [stops] = await databases.admin.query('select scope from user_prop_db.charge_stop');
    for (const { scope } of stops as { scope: string }[]) {
      const input = { scope, by: 'a person', why: 'simulated', after: '0' };
      await resumeCharging(depsOf(worker), input, { remaining, progress: () => {} });
    }
  },
});

export const callNamed = (id: number, changed: Record<string, unknown>) =>
  JSON.stringify({
    call_id: `call-${id}`,
    routing_key: 'simulated',
    caller: '13800000001',
    callee: '4008208820',
    user_id: 1,
    status: 1,
    duration: 60,
    ...changed,
  });

export const startedAt = (secondsAgo: number) => wallTime(new Date(startMs - secondsAgo * 1000));
export const setAccount = (centre: Centre, user_id: number, balance: number, frozen = false) =>
  void centre.controls?.['/__accounts']?.({ user_id, balance, frozen });

type Script = (stage: Stage, centre: Centre, send: (body: string) => void) => Act[];

/** One owner whose money is used up, one whose call is too soon after another, one without money. */
const fixedScript: Script = (_, centre, send) => [
  {
    atSeconds: 0,
    act: () => {
      setAccount(centre, 1, priceFen);
      const first = callNamed(1, { started_at: startedAt(3_600) });
      send(first);
      send(first);
      send(callNamed(2, { started_at: startedAt(3_600), user_id: 2 }));
    },
  },
  {
    atSeconds: 30,
    act: () => send(callNamed(3, { started_at: startedAt(3_600 + daySeconds - 1) })),
  },
];

const chanceScript: Script = ({ faults: { random }, databases }, centre, send) => {
  const callers = ['13800000001', '+86 138-0000-0001', '13900000002', '013900000002'];
  const edges = [0, 1, daySeconds - 1, daySeconds, daySeconds + 1, 2 * daySeconds];
  const script: Act[] = [
    {
      atSeconds: 0,
      act: () => {
        setAccount(centre, 1, priceFen * random.between(0, 5) + random.between(0, 1));
        for (const owner of [2, 3]) setAccount(centre, owner, priceFen * random.between(4, 9));
        // The fourth owner has no account.
      },
    },
    {
      atSeconds: random.between(0, swarmSeconds),
      act: () => void centre.controls?.['/__busy']?.({ times: random.between(0, 4) }),
    },
    {
      atSeconds: random.between(0, swarmSeconds),
      act: async () => {
        await databases.admin.query(
          "replace into user_prop_db.broker_phone values (7, '139-0000-0002', '13900000002', null)",
        );
      },
    },
  ];
  const someCall = () => ({
    caller: callers[random.between(0, callers.length - 1)],
    user_id: random.happens(0.1) ? 4 : random.between(1, 3),
    atSeconds: random.between(0, swarmSeconds),
  });
  let { atSeconds, ...pair } = someCall();
  for (let id = 1; id <= swarmCalls; id++) {
    // Some have the time, the caller and the owner of the call before.
    if (!random.happens(0.3)) ({ atSeconds, ...pair } = someCall());
    const seconds = edges[random.between(0, edges.length - 1)] ?? 0;
    const body = callNamed(id, {
      ...pair,
      status: random.happens(0.1) ? 0 : 1,
      duration: random.happens(0.2) ? 8 : 60,
      started_at: startedAt(seconds + (random.happens(0.5) ? 0 : random.between(0, daySeconds))),
      call_type: random.between(1, 2),
    });
    script.push({ atSeconds, act: () => send(body) });
    if (random.happens(0.3))
      script.push({ atSeconds: random.between(0, swarmSeconds), act: () => send(body) });
  }
  return script;
};
