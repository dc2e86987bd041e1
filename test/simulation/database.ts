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

/** A real connection that workers use one after the other. */
export interface Raw {
  readonly role: Role;
  readonly connection: Connection;
  readonly threadId: number;
  /** What its `timestamp` was last set to. */
  clockMs: number;
  broken: boolean;
  /** Between `begin` and `commit`: what it writes is seen by nobody else yet. */
  inTransaction: boolean;
  /** The server is in the middle of a statement. */
  busy: boolean;
  /** Nothing of it is heard any more; resolved when its worker gives it up. */
  silence: PromiseWithResolvers<void> | undefined;
  /** Its wait for a lock was ended by us, as MySQL would have. */
  waitedTooLong: boolean;
}

export type Admin = Awaited<ReturnType<typeof connect>>;

/** One MySQL, with connections kept ready from run to run: to open one takes longer than a whole transaction. */
export interface Databases {
  readonly server: { readonly host: string; readonly port: number };
  /** The server's Unix socket: a statement through it takes less of both processes' time than through TCP. */
  readonly socketPath: string;
  /** All rights, its own transactions, no boundaries: for what the world outside does and for looking. */
  readonly admin: Admin;
  /**
   * Empties tables. Rows that are deleted after it are not purged until the function that it resolves to is called. With
   * `exactly` nothing of an earlier play is left that could make this one differ: takes ten times as long.
   */
  readonly empty: (tables: readonly string[], exactly: boolean) => Promise<() => Promise<unknown>>;
  readonly stock: Raw[];
  readonly close: () => Promise<void>;
}

/** A MySQL with all tables, for runs outside `npm test`. */
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
  // With other statistics MySQL would take another plan, which locks other rows.
  await admin.query('set global innodb_stats_auto_recalc = off');
  const stock: Raw[] = [];
  const empty = async (tables: readonly string[], exactly: boolean) => {
    await keeper.query('rollback');
    await admin.query(tables.map(exactly ? truncated : deleted).join(';'));
    // Deleted rows have locks until they are purged, which happens at any time: not before the play has ended.
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

/** Rows that were deleted leave no trace, and the next are numbered from the first again. */
function truncated(table: string): string {
  const first = firstNumbers[table];
  const renumbered = first ? `; alter table ${table} auto_increment = ${first}` : '';
  return `truncate table ${table}${renumbered}`;
}

/** How often MySQL has searched for deadlocks. It does so soon after each new wait, in a thread of its own. */
export async function deadlockSearches(admin: Admin): Promise<number> {
  const [rows] = await admin.query(
    "select count from information_schema.innodb_metrics where name = 'lock_deadlock_rounds' and status = 'enabled'",
  );
  const [row] = rows as { count: number }[];
  if (!row) throw new Error('MySQL does not count its searches for deadlocks.');
  return Number(row.count);
}

async function socketOf(server: Databases['server']): Promise<string> {
  const connection = await connect(server);
  const [rows] = await connection.query('select @@socket path');
  await connection.end();
  return (rows as { path: string }[])[0]?.path ?? '';
}

/** What a worker's code gets for `mysql('mysql')`: the same dialect and session on a pool with boundaries. */
export function mysqlOf<Tables>(
  databases: Databases,
  world: World,
  worker: Worker,
  role: Role = 'signalbox',
): Kysely<Tables> {
  const pool = bounded(poolOf(databases, world, worker, role), { name: role, answerMsMax });
  return new Kysely<Tables>({ dialect: new MysqlDialect({ pool: retryingPool(pool) }) });
}

/** As in lib/platform/mysql/mysql.ts. */
const answerMsMax = 8_000;

type Got = Parameters<MysqlPool['getConnection']>[0];

function poolOf(databases: Databases, world: World, worker: Worker, role: Role): MysqlPool {
  const queue: Got[] = [];
  let out = 0;
  const isAway = () => (world.awayUntilMs.get(role) ?? 0) > world.nowMs;
  const lend = async (got: Got) => {
    if (isAway()) return got(refusedConnection(), undefined as never);
    out += 1;
    world.opening += 1;
    const opened = world.lastOpened.then(() => outside(() => taken(databases, role)));
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

async function taken({ socketPath, stock }: Databases, role: Role): Promise<Raw> {
  const index = stock.findIndex((raw) => raw.role === role);
  const [ready] = index < 0 ? [] : stock.splice(index, 1);
  if (ready) return ready;
  const { username, password } = users[role];
  const connection = createConnection({ socketPath, user: username, password, ...typesOfValues });
  connection.on('error', () => {}); // It is killed on purpose.
  const raw: Raw = { role, connection, threadId: 0, clockMs: 0, ...asNew };
  // Its limits in seconds are those of the simulated clock: `orphans` of the world.
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

/** A statement as a boundary. Its clock is the simulated one. */
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

/** mysql2's own words for whatever is asked of a connection that was lost. */
const closedConnection = (): Error =>
  Object.assign(new Error("Can't add new command when connection is in closed state"), {
    fatal: true,
  });

/** Its worker closes a connection. Of one that is silent the server does not hear that. */
export async function abandon(databases: Databases, world: World, raw: Raw): Promise<void> {
  raw.silence?.resolve();
  if (raw.silence) orphan(world, raw);
  else await breakOff(databases, raw, { inStatement: raw.busy });
}

/** Leaves a session to its server, with its transaction and its locks, until the server ends it. */
export const orphan = (world: World, raw: Raw): void =>
  void world.orphans.set(raw, world.nowMs + idleSecondsMax * 1000);

/**
 * Breaks a connection for its worker: when this returns its transaction is rolled back. One that is in the middle of a
 * statement is killed, and MySQL takes a thread off its list only after the rollback. One that is idle is rolled back
 * and used again by others, which is the same to all sides and takes a tenth of the time.
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

/** Whether a statement can come to wait for a row's lock. A plain read and the end of a transaction never do. */
export const mayWait = (sql: string): boolean =>
  !/^\s*(begin|start|commit|rollback|set)\b/i.test(sql) &&
  (!/^\s*select\b/i.test(sql) || waitsForShared(sql) || /for update/i.test(sql));

export const waitsForShared = (sql: string): boolean => /for share/i.test(sql);

/**
 * Whose statements wait for a row's lock. INNODB STATUS is always up to date, while information_schema.innodb_trx
 * shows the state of up to 0.1 s ago; but it leaves out who has not written yet and waits for a shared lock. Such a
 * statement counts as waiting while it is running: ask only about one that has run for longer than any takes that need
 * not wait.
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

/** Ends a wait for a lock as MySQL does after `innodb_lock_wait_timeout`, of simulated seconds. */
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
