/** The Kysely client of a MySQL server, its session and its transactions. */
import {
  Kysely,
  MysqlDialect,
  type MysqlPool,
  type MysqlPoolConnection,
  type Transaction,
} from 'kysely';
import { Unavailable } from '../errors.ts';
import { secret } from '../lambda/secret.ts';
import { mysqlFaultOf } from '../mysql-errors.ts';
import type { MysqlName } from '../names.ts';
import { bounded } from './bounded.ts';
import { Credentials, renewedPool } from './mysql-pool.ts';

/** So that all attempts of a transaction fit into the shortest time-out of a consumer, 10 s. */
export const lockWaitTimeoutSeconds = 2;

/** A statement of a consumer, a route or a schedule of minutes has its answer within this much time, or none. */
export const statementSecondsMax = 8;
/** For functions that run daily or by hand and look at whole tables. */
export const longStatements = { statementSeconds: 120 } as const;
/** For what changes whole tables at a deploy. */
export const schemaStatements = { statementSeconds: 540 } as const;
/**
 * The server itself ends a session that is idle for this long, its transaction with it: nobody else can when the
 * environment that holds it is frozen. No transaction of ours waits that long for another server.
 */
export const idleSecondsMax = 20;

interface MysqlOptions {
  /** A statement has its answer within this much time, or its connection is closed. */
  readonly statementSeconds?: number;
  readonly clock?: () => number;
}

/**
 * Returns a client whose pool opens at its first query, and again after a rotation of the password.
 * DATETIME comes as `YYYY-MM-DD HH:mm:ss` in Asia/Shanghai wall time, BIGINT as a decimal string.
 * What has no limit of its own would wait without end: docs/decisions/0041-limits-of-a-session.md.
 */
export function mysql<Tables>(
  name: MysqlName,
  { statementSeconds = statementSecondsMax, clock = Date.now }: MysqlOptions = {},
): Kysely<Tables> {
  const credentials = secret(name, Credentials, clock);
  const pool = bounded(named(name, renewedPool(credentials, (idleSecondsMax * 1000) / 2)), {
    name,
    answerMsMax: statementSeconds * 1000,
    session: sessionFor(statementSeconds),
  });
  return new Kysely<Tables>({ dialect: new MysqlDialect({ pool: retryingPool(pool) }) });
}

/** Says which server cannot be reached; mysql2 says an address at best. */
const named = (name: MysqlName, pool: MysqlPool): MysqlPool => ({
  end: (ended) => pool.end(ended),
  getConnection: (got) =>
    pool.getConnection((error, raw) => {
      if (error instanceof Error && !(error instanceof Unavailable))
        error.message = `${name}: ${error.message}`;
      got(error, raw);
    }),
});

/**
 * What a connection begins with. Who waits for a table that is being altered waits as for a row; a SELECT is ended by
 * the server before we close its connection.
 */
const sessionFor = (seconds: number): string => `set session time_zone = '+08:00',
  session transaction_isolation = 'READ-COMMITTED',
  session innodb_lock_wait_timeout = ${lockWaitTimeoutSeconds},
  session lock_wait_timeout = ${seconds > statementSecondsMax ? 5 : lockWaitTimeoutSeconds},
  session max_execution_time = ${(seconds - 1) * 1000},
  session wait_timeout = ${idleSecondsMax},
  session net_read_timeout = ${idleSecondsMax}, session net_write_timeout = ${idleSecondsMax},
  session sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'`;

/** The session of most functions. */
export const session = sessionFor(statementSecondsMax);

const attemptsMax = 4;
const pauseMs = (attempt: number) => 10 * attempt ** 2;

/** Runs `body` in a transaction; all of it once more where MySQL chose it as a deadlock's victim (1213, 1205). */
export async function inTransaction<Tables, Result>(
  mysql: Kysely<Tables>,
  body: (trx: Transaction<Tables>) => Promise<Result>,
): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await mysql.transaction().execute(body);
    } catch (error) {
      if (attempt === attemptsMax || !isLockConflict(error)) throw error;
      await new Promise((done) => setTimeout(done, pauseMs(attempt)));
    }
  }
}

/**
 * A pool whose connections retry a statement outside a transaction if MySQL chose it as a deadlock victim, or
 * it waited too long for a lock: it is a transaction of its own, and nothing else saw it.
 */
export function retryingPool(pool: MysqlPool): MysqlPool {
  const wrapped = new WeakMap<MysqlPoolConnection, MysqlPoolConnection>(); // Kysely knows one by its identity.
  return {
    end: (ended) => pool.end(ended),
    getConnection: (got) =>
      pool.getConnection((error, raw) => {
        if (error) return got(error, raw);
        const connection = wrapped.get(raw) ?? repeatingOn(raw);
        wrapped.set(raw, connection);
        got(error, connection);
      }),
  };
}

function repeatingOn(raw: MysqlPoolConnection): MysqlPoolConnection {
  let inside = false;
  const query = (sql: string, parameters: unknown[], answered?: Answered): unknown => {
    if (!answered) return raw.query(sql, parameters);
    if (/^(begin|start transaction)/i.test(sql)) inside = true;
    else if (/^(commit|rollback)$/i.test(sql)) inside = false;
    const attempt = (number: number): void =>
      void raw.query(sql, parameters, (error, result) => {
        if (inside || number === attemptsMax || !isLockConflict(error)) answered(error, result);
        else setTimeout(() => attempt(number + 1), pauseMs(number));
      });
    return attempt(1);
  };
  return {
    config: raw.config,
    threadId: raw.threadId,
    connect: (...given) => raw.connect(...given),
    destroy: () => raw.destroy(),
    release: () => raw.release(),
    query: query as MysqlPoolConnection['query'],
  };
}

type Answered = Parameters<MysqlPoolConnection['query']>[2];

/** MySQL chose the transaction as a deadlock's victim (1213), or it waited too long for a lock (1205). */
export const isLockConflict = (error: unknown): boolean => mysqlFaultOf(error) === 'conflict';
