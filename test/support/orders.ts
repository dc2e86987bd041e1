import { randomUUID } from 'node:crypto';
import { Kysely, MysqlDialect } from 'kysely';
import { isAtOrAfter, type ResumePoint } from '../../lib/order/binlog/binlog-position.ts';
import { binlogOf, type Source } from '../../lib/order/binlog/binlog-source.ts';
import { type TailDeps, tailBinlog } from '../../lib/order/binlog/tail-binlog.ts';
import { transactionAssembler } from '../../lib/order/decoding/transactions.ts';
import { pushesToSend } from '../../lib/order/queues.ts';
import type { OrderTables, PushTables } from '../../lib/order/tables.ts';
import { deliverBy, queueChannel } from '../../lib/platform/messaging/outbox.ts';
import { bounded } from '../../lib/platform/mysql/bounded.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { renewedPool } from '../../lib/platform/mysql/mysql-pool.ts';
import { pause } from '../../lib/platform/time.ts';
import { users } from '../../local/users.ts';
import { rowsOf, run, serverOfWorker } from './databases.ts';

/** Changes of orders as the order system makes them. */
export const placed = (id: number, status: string, nurse: number | null = 55) =>
  run(
    "insert into order_db.`order` (order_id, patient_id, nurse_id, status, changed_by) values (?, 98, ?, ?, 'patient')",
    [id, nurse, status],
  );
export const became = (id: number, status: string, by: string) =>
  run('update order_db.`order` set status = ?, changed_by = ? where order_id = ?', [
    status,
    by,
    id,
  ]);

/** Order and scenario of each push, in the order in which they go out. */
export const pushed = async () =>
  (await rowsOf('select order_id, scenario from push_db.push order by sequence')).map(
    ({ order_id, scenario }) => [Number(order_id), scenario],
  );

export const checkpoint = async () =>
  (await rowsOf('select * from push_db.binlog_checkpoint'))[0] ?? {};

interface Address {
  readonly host: string;
  readonly port: number;
}

const credentialsOf = ({ host, port }: Address) => ({ host, port, ...users.order, ssl: false });

export const orderDatabase = (address: Address): Kysely<OrderTables> =>
  new Kysely({
    dialect: new MysqlDialect({
      pool: bounded(
        renewedPool(async () => credentialsOf(address)),
        { name: 'mysql-order', answerMsMax: 8_000 },
      ),
    }),
  });

/** The binlog of a real server, the worker's own where none is named. */
export function binlogAt(address: Address = serverOfWorker()): Source {
  const order = orderDatabase(address);
  const settings = async () => ({ serverIdFirst: 820_140_000 });
  return binlogOf({ order, credentials: async () => credentialsOf(address), settings });
}

/** What a reader of a test's own needs; what it reads comes from `binlog`. */
export function readerOf(binlog: Source): TailDeps {
  process.env['QUEUE_ORDER_PUSH_CHANGE'] ??= `http://127.0.0.1:1/${randomUUID()}`;
  return {
    mysql: mysql<PushTables>('mysql'),
    binlog,
    deliver: deliverBy(queueChannel(pushesToSend)),
    settings: async () => ({ stuckAfterMinutes: 10 }),
    firstSwitchOff: async () => undefined,
    pause,
  };
}

/** Time for a run: so long is read. */
export const timeFor = (ms: number) => {
  const end = Date.now() + 5_000 + ms;
  return { remaining: () => end - Date.now() };
};

const readMsMax = 30_000;

/** Time for a run that reads until `over` says that the test has seen what it waits for. */
export function timeUntil(over: () => boolean) {
  const latest = Date.now() + readMsMax;
  return { remaining: () => (over() ? 0 : latest - Date.now()) };
}

/** By GTIDs the server passes over in silence what was read. */
const silencesMax = 2;

/** A run that ends when it has read all there is now, however long that takes. */
export async function readAll(deps: TailDeps) {
  const latest = Date.now() + readMsMax;
  let done = false;
  const open: Source['open'] = async (found, epoch) => {
    const end = await deps.binlog.end();
    const reading = transactionAssembler(found.from);
    const stream = await deps.binlog.open(found, epoch);
    let silences = Number.NEGATIVE_INFINITY; // The first events take as long as a connection.
    return {
      ...stream,
      take: async (waitMs) => {
        const events = await stream.take(waitMs);
        for (const event of events) reading.take(event);
        silences = events.length ? 0 : silences + 1;
        done =
          (isAtOrAfter(reading.place(), end) && !reading.inTransaction()) ||
          (found.by === 'gtids' && silences >= silencesMax);
        return events;
      },
    };
  };
  const binlog = { ...deps.binlog, open };
  return await tailBinlog(
    { ...deps, binlog },
    { remaining: () => (done ? 0 : latest - Date.now()) },
  );
}

export class Died extends Error {}

/** Its reader dies when it has taken so many events, and writes nothing of what it has read since. */
export function dyingAfter(events: number, source: Source): Source {
  let left = events;
  return {
    ...source,
    open: async (found: ResumePoint, epoch: string) => {
      const stream = await source.open(found, epoch);
      return {
        ...stream,
        take: async (waitMs) => {
          const taken = await stream.take(waitMs);
          left -= taken.length;
          if (left < 0) throw new Died(`after ${events} events`);
          return taken;
        },
      };
    },
  };
}
