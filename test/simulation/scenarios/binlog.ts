import type { Source } from '../../../lib/order/binlog/binlog-source.ts';
import { tailBinlog } from '../../../lib/order/binlog/tail-binlog.ts';
import { scenarioOf } from '../../../lib/order/pushes/scenarios.ts';
import { pushesToSend } from '../../../lib/order/queues.ts';
import { orderSwitches } from '../../../lib/order/switches.ts';
import type { PushTables } from '../../../lib/order/tables.ts';
import { isId } from '../../../lib/platform/ids.ts';
import { consume } from '../../../lib/platform/messaging/consume.ts';
import { deliverBy, queueChannel as queuesOf } from '../../../lib/platform/messaging/outbox.ts';
import {
  countingIn,
  oddOrders,
  recordedOf,
  source,
  type Written,
} from '../../support/log-events.ts';
import { mysqlOf } from '../database.ts';
import type { Act, Scenario, Scheduled, Stage } from '../run-scenario.ts';
import { deliverer } from './deliverer.ts';
import { type SimulatedServer, simulatedServer } from './simulated-binlog.ts';
import { switching, switchTables, writing } from './switching.ts';

const swarmTransactions = 12;
const swarmSeconds = 70;
const orders = 4;
const rowsPerWriteMax = 4;
const largeRows = 11;
const walk = ['PENDING_ACCEPT', 'PENDING_SERVICE', 'IN_SERVICE', 'REFUNDING'];

/**
 * Readers of a binlog with order changes crash, are delayed, overlap and take over, and the server fails over to another
 * one with other files: each relevant change is pushed once, in order. Some rows cannot be written or have no receiver.
 */
export const binlog: Scenario = {
  name: 'binlog',
  tables: [
    ...['signalbox.outbox', 'signalbox.claim', 'push_db.push', 'push_db.order_seen'],
    ...['push_db.binlog_checkpoint', 'push_db.prepared_row', 'push_db.prepared_transaction'],
    ...['push_db.missed_transaction', 'push_db.stuck_look', ...switchTables],
  ],
  begin: (stage) => {
    const { databases, queues, faults } = stage;
    const server = simulatedServer(stage);
    const kill = switching(stage, orderSwitches, ['order/tail-binlog'], swarmSeconds, {
      'order/tail-binlog': writing(
        /^\s*(insert into|replace into|update) push_db\.(push|binlog_checkpoint)\b/,
        'tail-binlog',
      ),
    });
    queues.open(pushesToSend);
    const triggered = new Set<string>();
    const promises = promisesOf(stage, server);
    return {
      consumers: [
        {
          queue: pushesToSend,
          timeoutSeconds: 10,
          handlerOf: () =>
            consume(pushesToSend, async ({ order_id }) => {
              triggered.add(order_id);
              return 'pushed';
            }),
        },
      ],
      schedules: [reader(stage, server.source, kill.off), deliverer(stage)],
      script: faults.exact ? fixedScript(server) : [...chanceScript(stage, server), ...kill.acts],
      passed: kill.passed,
      safety: promises.broken,
      unsettled: async () => {
        const [rows] = await databases.admin.query(
          "select distinct order_id from push_db.push where state = 'unsent'",
        );
        const silent = (rows as { order_id: string }[]).find(
          ({ order_id }) => !triggered.has(order_id),
        );
        return silent ? `Nobody was told of order ${silent.order_id}.` : await promises.missing();
      },
    };
  },
};

/** order/tail-binlog. Each run is asked to yield by the next one, half-way through its time. */
function reader(
  { databases, world }: Stage,
  simulated: Source,
  off: ReturnType<typeof switching>['off'],
): Scheduled {
  return {
    name: 'tail-binlog',
    everySeconds: 20,
    firstSeconds: 1,
    timeoutSeconds: 40,
    run: (worker, remaining) => {
      const deps = {
        mysql: mysqlOf<PushTables>(databases, world, worker),
        binlog: simulated,
        deliver: deliverBy(queuesOf(pushesToSend)),
        settings: async () => ({ stuckAfterMinutes: 10 }),
        firstSwitchOff: off(worker),
        pause: (ms: number) => new Promise<void>((done) => setTimeout(done, ms)),
        rowsPerWriteMax,
      };
      return tailBinlog(deps, { remaining });
    },
  };
}

const { unnamed, withoutPatient } = oddOrders;
const row = (order: number, step: number) => [order, walk[step % walk.length] ?? ''] as const;

const fixed: readonly Written[] = [
  { rows: [row(unnamed, 0), row(1, 0), row(unnamed, 1), row(1, 1)], how: 'commit' },
  { rows: Array.from({ length: 6 }, (_, step) => row(2, step)), how: 'commit', rotates: true },
  { rows: [row(3, 0), row(3, 1)], how: 'xa', later: 1 },
  { rows: [row(withoutPatient, 0), row(withoutPatient, 1), row(1, 2)], how: 'commit' },
];

const fixedScript = (server: SimulatedServer): Act[] => [
  { atSeconds: 3, act: () => server.write(...fixed.slice(0, 2)) },
  { atSeconds: 5, act: () => server.write(...fixed.slice(2)) },
];

function chanceScript({ faults: { random } }: Stage, server: SimulatedServer): Act[] {
  const kinds: readonly Written['how'][] = [
    ...(['commit', 'commit', 'commit', 'ddl'] as const),
    ...(['xa', 'xa one phase', 'xa rolled back'] as const),
  ];
  const steps = new Map<number, number>();
  const rowsOf = (count: number) =>
    Array.from({ length: count }, () => {
      const order = random.between(1, orders);
      const step = (steps.get(order) ?? -1) + 1;
      steps.set(order, step);
      return step % 3 === 1 ? [row(unnamed, step), row(order, step)] : [row(order, step)];
    }).flat();
  const transaction = (): Written => ({
    rows: rowsOf(random.happens(0.2) ? largeRows : random.between(0, 3)),
    how: kinds[random.between(0, kinds.length - 1)] ?? 'commit',
    later: random.between(0, 2),
    rotates: random.happens(0.15),
  });
  const acts = Array.from({ length: swarmTransactions }, () => ({
    atSeconds: random.between(2, swarmSeconds),
    act: () => server.write(transaction()),
  }));
  const nothing: Written = { rows: [], how: 'commit' };
  // Ends every transaction that was prepared.
  const last = { atSeconds: swarmSeconds + 1, act: () => server.write(nothing, nothing, nothing) };
  const failsOver = { atSeconds: random.between(10, swarmSeconds - 10), act: server.failOver };
  return [...acts, last, ...(random.happens(0.5) ? [failsOver] : [])];
}

function promisesOf({ databases: { admin } }: Stage, server: SimulatedServer) {
  const caused = () =>
    countingIn(recordedOf(server.written, source)).flatMap(({ before, after }) => {
      const [from, to] = [before?.status ?? '', after?.status ?? ''];
      const scenario = scenarioOf(from, to, 'nurse');
      const isNamed = after && isId(after.order_id);
      return scenario && isNamed ? [`${after.order_id}: ${scenario.number}`] : [];
    });
  const there = async () => {
    const [rows] = await admin.query(
      'select order_id, scenario from push_db.push order by sequence',
    );
    return (rows as { order_id: string; scenario: number }[]).map(
      ({ order_id, scenario }) => `${order_id}: ${scenario}`,
    );
  };
  let last = { server: '', order: 0 };

  return {
    broken: async (): Promise<string | undefined> => {
      const [all, made] = [caused(), await there()];
      const wrong = made.findIndex((push, index) => push !== all[index]);
      if (wrong >= 0)
        return `Push ${wrong} is "${made[wrong]}", of ${all.slice(wrong, wrong + 3).join(', ')} …`;
      const [rows] = await admin.query('select * from push_db.binlog_checkpoint');
      const [row] = rows as Record<string, string>[];
      if (!row) return undefined;
      const file = Number(row['file']?.slice(-6));
      const order = (file * 1e6 + Number(row['position'])) * 100 + Number(row['rows_done']);
      const before = last;
      last = { server: String(row['server_uuid']), order };
      return before.server === last.server && order < before.order
        ? `The place went back, from ${before.order} to ${order}.`
        : undefined;
    },
    missing: async (): Promise<string | undefined> => {
      const [all, made] = [caused(), await there()];
      if (made.length < all.length) return `${made.length} of ${all.length} pushes exist.`;
      const [kept] = await admin.query('select * from push_db.prepared_row');
      if ((kept as unknown[]).length) return 'Rows of what is long committed are still kept.';
      const seen = new Map<string, string>();
      for (const { after } of countingIn(recordedOf(server.written, source)))
        if (after) seen.set(after.order_id, after.status);
      const [rows] = await admin.query('select order_id, status from push_db.order_seen');
      const other = (rows as { order_id: string; status: string }[]).find(
        ({ order_id, status }) => seen.get(order_id) !== status,
      );
      return other && `Order ${other.order_id} was seen ${other.status} last.`;
    },
  };
}
