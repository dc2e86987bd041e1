import { Kysely, MysqlDialect, type MysqlPool } from 'kysely';
import { type Connection, createConnection } from 'mysql2';
import { bounded } from '../../lib/platform/mysql/bounded.ts';
import {
  idleSecondsMax,
  lockWaitTimeoutSeconds,
  retryingPool,
  session,
} from '../../lib/platform/mysql/mysql.ts';
import { typesOfValues } from '../../lib/platform/mysql/mysql-pool.ts';
import { connectionsPerInstanceMax } from '../../lib/platform/names.ts';
import { connect, startMysql } from '../../local/mysql.ts';
import { freePort } from '../../local/ports.ts';
import type { Processes } from '../../local/processes.ts';
import { createUpstream } from '../../local/upstream.ts';
import { users } from '../../local/users.ts';
import { createOurs } from '../support/own-tables.ts';
import type { Fault } from './faults.ts';
import {
  cross,
  lostConnection,
  outside,
  refusedConnection,
  type Worker,
  type World,
} from './world.ts';

export type Role = 'signalbox' | 'upstream';

/** A real connection, which workers use one after the other. */
export interface Raw {
  readonly role: Role;
  readonly connection: Connection;
  readonly threadId: number;
  /** The last value of its session variable `timestamp`. */
  clockMs: number;
  broken: boolean;
  /** Between `begin` and `commit`: its writes are not visible to others yet. */
  inTransaction: boolean;
  /** The server is executing a statement. */
  busy: boolean;
  /** Set while the connection gets no answers any more; resolved when its worker closes the connection. */
  silence: PromiseWithResolvers<void> | undefined;
  /** The simulation has ended its lock wait, as MySQL would after the time-out. */
  waitedTooLong: boolean;
}

export type Admin = Awaited<ReturnType<typeof connect>>;

/** One MySQL with connections that are reused between runs: opening one takes longer than a whole transaction. */
export interface Databases {
  readonly server: { readonly host: string; readonly port: number };
  /** The server's Unix socket, which costs less CPU time per statement than TCP. */
  readonly socketPath: string;
  /** A connection with all rights and without boundaries, for the outside world and for checks. */
  readonly admin: Admin;
  /**
   * Empties tables. Rows that are deleted later are not purged until the returned function is called. With `exactly` no
   * trace of an earlier run is left that could change this one, which takes ten times as long.
   */
  readonly empty: (tables: readonly string[], exactly: boolean) => Promise<() => Promise<unknown>>;
  readonly stock: Raw[];
  readonly close: () => Promise<void>;
}

/** Starts a MySQL with all tables, for runs outside `npm test`. */
export async function startDatabase(
  processes: Processes,
  dir: string,
  name = 'mysql',
): Promise<Databases['server']> {
  const server = await startMysql(processes, dir, await freePort('MySQL', undefined), name);
  await createUpstream(server);
  await createOurs(server);
  return server;
}

export async function openDatabases({ host, port }: Databases['server']): Promise<Databases> {
  const server = { host, port };
  const socketPath = await socketOf(server);
  const admin = await connect({ ...server, socketPath });
  const keeper = await connect({ ...server, socketPath });
  // New statistics could change MySQL's query plan, and so the rows that it locks.
  await admin.query('set global innodb_stats_auto_recalc = off');
  const stock: Raw[] = [];
  const empty = async (tables: readonly string[], exactly: boolean) => {
    await keeper.query('rollback');
    await admin.query(tables.map(exactly ? truncated : deleted).join(';'));
    // Purging deleted rows changes their locks at any time, so this snapshot delays it until the run has ended.
    await keeper.query('start transaction with consistent snapshot');
    return () => keeper.query('rollback');
  };
  const close = async () => {
    for (const { connection } of stock) connection.destroy();
    await keeper.end();
    await admin.end();
  };
  return { server, socketPath, admin, empty, stock, close };
}

/** migrations/0005-call.sql */
const firstNumbers: Readonly<Record<string, string>> = {
  'user_prop_db.sublessor_call_payment_log_201409': '820000000000',
};

const deleted = (table: string): string => `delete from ${table}`;

/** Returns SQL that empties a table without a trace and restarts its auto-increment. */
function truncated(table: string): string {
  const first = firstNumbers[table];
  const renumbered = first ? `; alter table ${table} auto_increment = ${first}` : '';
  return `truncate table ${table}${renumbered}`;
}

/** Returns how often MySQL has searched for deadlocks, which its own thread does soon after each new wait. */
export async function deadlockSearches(admin: Admin): Promise<number> {
  const [rows] = await admin.query(
    "select count from information_schema.innodb_metrics where name = 'lock_deadlock_rounds' and status = 'enabled'",
  );
  const [row] = rows as { count: number }[];
  if (!row) throw new Error('The MySQL metric lock_deadlock_rounds is not enabled.');
  return Number(row.count);
}

async function socketOf(server: Databases['server']): Promise<string> {
  const connection = await connect(server);
  const [rows] = await connection.query('select @@socket path');
  await connection.end();
  return (rows as { path: string }[])[0]?.path ?? '';
}

/** Returns a worker's replacement of `mysql('mysql')`: the same dialect and session on a pool with boundaries. */
export function mysqlOf<Tables>(
  databases: Databases,
  world: World,
  worker: Worker,
  role: Role = 'signalbox',
): Kysely<Tables> {
  const pool = bounded(poolOf(databases, world, worker, role), { name: role, answerMsMax });
  return new Kysely<Tables>({ dialect: new MysqlDialect({ pool: retryingPool(pool) }) });
}

/** The value of lib/platform/mysql/mysql.ts. */
const answerMsMax = 8_000;

type Got = Parameters<MysqlPool['getConnection']>[0];

function poolOf(databases: Databases, world: World, worker: Worker, role: Role): MysqlPool {
  const queue: Got[] = [];
  let out = 0;
  const isUnavailable = () => (world.awayUntilMs.get(role) ?? 0) > world.nowMs;
  const lend = async (got: Got) => {
    if (isUnavailable()) return got(refusedConnection(), undefined as never);
    out += 1;
    world.opening += 1;
    const opened = world.lastOpened.then(() => outside(() => takeConnection(databases, role)));
    world.lastOpened = opened;
    const raw = await opened;
    world.opening -= 1;
    worker.connections.add(raw);
    let gone = false;
    const giveBack = () => {
      gone = true;
      worker.connections.delete(raw);
      out -= 1;
      const next = queue.shift();
      if (next) void lend(next);
    };
    got(undefined, {
      threadId: raw.threadId,
      config: {},
      connect: () => {},
      destroy: () => {
        if (gone) return;
        giveBack();
        world.opening += 1;
        void outside(() => abandon(databases, world, raw)).then(() => {
          world.opening -= 1;
        });
      },
      release: () => {
        if (gone) return;
        if (!raw.broken) databases.stock.push(raw);
        giveBack();
      },
      query: (sql, parameters, callback) => {
        crossSql(databases, world, raw, sql, parameters).then(
          (result) => callback?.(undefined, result as never),
          (error) => callback?.(error, [] as never),
        );
        return { stream: () => ({ [Symbol.asyncIterator]: () => [][Symbol.iterator]() }) };
      },
    });
  };
  return {
    getConnection: (got) => void (out < connectionsPerInstanceMax ? lend(got) : queue.push(got)),
    end: (done) => done(undefined),
  };
}

const asNew = {
  broken: false,
  busy: false,
  inTransaction: false,
  waitedTooLong: false,
  silence: undefined,
};

async function takeConnection({ socketPath, stock }: Databases, role: Role): Promise<Raw> {
  const index = stock.findIndex((raw) => raw.role === role);
  const [ready] = index < 0 ? [] : stock.splice(index, 1);
  if (ready) return ready;
  const { username, password } = users[role];
  const connection = createConnection({ socketPath, user: username, password, ...typesOfValues });
  connection.on('error', () => {}); // The simulation kills connections on purpose.
  const raw: Raw = { role, connection, threadId: 0, clockMs: 0, ...asNew };
  // The session limits follow the simulated clock instead: see `orphans` of the world.
  await query(raw, session, []);
  await query(raw, 'set session wait_timeout = 28800, session max_execution_time = 0', []);
  return { ...raw, threadId: connection.threadId };
}

const query = ({ connection }: Raw, sql: string, parameters: unknown): Promise<unknown> =>
  new Promise((resolve, reject) => {
    connection.query(sql, parameters as never[], (error, result) =>
      error ? reject(error) : resolve(result),
    );
  });

const begins = /^(begin|start transaction)/i;
const ends = /^(commit|rollback)$/i;

/** Runs a statement as a boundary, with MySQL's clock set to the simulated time. */
function crossSql(
  databases: Databases,
  world: World,
  raw: Raw,
  sql: string,
  parameters: unknown,
): Promise<unknown> {
  return cross('sql', sql, {
    connection: raw,
    run: () =>
      outside(async () => {
        if (raw.broken) throw closedConnection();
        raw.waitedTooLong = false;
        if ((world.awayUntilMs.get(raw.role) ?? 0) > world.nowMs)
          throw await failed(databases, raw, 'error');
        if (raw.clockMs !== world.nowMs) {
          await query(raw, `set timestamp = ${world.nowMs / 1000}`, []);
          raw.clockMs = world.nowMs;
        }
        raw.busy = true;
        const result = await query(raw, sql, parameters)
          .catch((error) => {
            throw raw.waitedTooLong && error.errno === queryInterrupted ? lockWaitTimeout() : error;
          })
          .finally(() => {
            raw.busy = false;
          });
        if (begins.test(sql)) raw.inTransaction = true;
        else if (ends.test(sql)) raw.inTransaction = false;
        return result;
      }),
    fail: (fault) => outside(() => failed(databases, raw, fault)),
  });
}

async function failed(databases: Databases, raw: Raw, fault: Fault): Promise<Error> {
  if (raw.broken) return closedConnection();
  if (fault === 'conflict') {
    await query(raw, 'rollback', []).catch(() => {});
    raw.inTransaction = false;
    return Object.assign(new Error('Deadlock found when trying to get lock'), {
      code: 'ER_LOCK_DEADLOCK',
      errno: 1213,
    });
  }
  await breakOff(databases, raw);
  return lostConnection();
}

/** The error of mysql2 for any command on a lost connection. */
const closedConnection = (): Error =>
  Object.assign(new Error("Can't add new command when connection is in closed state"), {
    fatal: true,
  });

/** Closes a connection for its worker; the server of a silent connection does not notice. */
export async function abandon(databases: Databases, world: World, raw: Raw): Promise<void> {
  raw.silence?.resolve();
  if (raw.silence) orphan(world, raw);
  else await breakOff(databases, raw, { inStatement: raw.busy });
}

/** Leaves a session open at its server, with its transaction and locks, until the server's idle limit ends it. */
export const orphan = (world: World, raw: Raw): void =>
  void world.orphans.set(raw, world.nowMs + idleSecondsMax * 1000);

/**
 * Breaks a connection for its worker; afterwards its transaction is rolled back. A connection that executes a statement
 * is killed, and MySQL removes a thread from its list only after the rollback. An idle connection is rolled back and
 * reused, which looks the same to all sides and takes a tenth of the time.
 */
export async function breakOff(
  { admin, stock }: Databases,
  raw: Raw,
  { inStatement = false } = {},
): Promise<void> {
  if (raw.broken) return;
  raw.broken = true;
  if (!inStatement) {
    if (raw.inTransaction) await query(raw, 'rollback', []);
    stock.push({ ...raw, ...asNew });
    return;
  }
  await admin.query(`kill ${raw.threadId}`).catch(() => {});
  for (;;) {
    const [rows] = await admin.query(
      `select 1 from information_schema.processlist where id = ${raw.threadId}`,
    );
    if (!(rows as unknown[]).length) break;
  }
  raw.connection.destroy();
}

/** Returns whether a statement may wait for a row lock. Plain reads and the end of a transaction never do. */
export const mayWait = (sql: string): boolean =>
  !/^\s*(begin|start|commit|rollback|set)\b/i.test(sql) &&
  (!/^\s*select\b/i.test(sql) || waitsForShared(sql) || /for update/i.test(sql));

export const waitsForShared = (sql: string): boolean => /for share/i.test(sql);

/**
 * Returns the threads whose statements wait for a row lock. INNODB STATUS is always up to date, while
 * information_schema.innodb_trx may be 0.1 s old; but it omits transactions that have written nothing and wait for a
 * shared lock. With `forShared` every running `for share` statement counts as waiting, so call it only after the time
 * that such a statement needs without a wait.
 * https://dev.mysql.com/doc/refman/8.0/en/innodb-information-schema-internal-data.html
 */
export async function blockedThreads(
  admin: Admin,
  { forShared }: { readonly forShared: boolean },
): Promise<Set<number>> {
  const [status] = await admin.query('show engine innodb status');
  const [{ Status = '' } = {}] = status as { Status?: string }[];
  const blocked = Status.split('---TRANSACTION').filter((text) => text.includes('LOCK WAIT'));
  const threads = new Set(blocked.map((text) => Number(text.match(/MySQL thread id (\d+),/)?.[1])));
  if (!forShared) return threads;
  const [running] = await admin.query(
    "select id from information_schema.processlist where command = 'Query' and info like '%for share'",
  );
  for (const { id } of running as { id: string }[]) threads.add(Number(id));
  return threads;
}

export const lockWaitMsMax = lockWaitTimeoutSeconds * 1000;

/** Ends a lock wait as MySQL does after `innodb_lock_wait_timeout`, in simulated seconds. */
export async function endLockWait(admin: Admin, raw: Raw): Promise<void> {
  raw.waitedTooLong = true;
  await admin.query(`kill query ${raw.threadId}`).catch(() => {});
}

const queryInterrupted = 1317;
const lockWaitTimeout = (): Error =>
  Object.assign(new Error('Lock wait timeout exceeded; try restarting transaction'), {
    code: 'ER_LOCK_WAIT_TIMEOUT',
    errno: 1205,
  });
