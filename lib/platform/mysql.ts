import {
  CompiledQuery,
  Kysely,
  MysqlDialect,
  type MysqlPool,
  type MysqlPoolConnection,
  type Transaction,
} from 'kysely';
import { Unavailable } from './errors.ts';
import type { MysqlName } from './names.ts';
import { Credentials, renewedPool } from './pool.ts';
import { secret } from './secret.ts';

/** So that all attempts of a transaction fit into the shortest time-out of a consumer, 10 s. */
export const lockWaitTimeoutSeconds = 2;

/**
 * A connection pool that opens at its first query, and anew when the password was rotated.
 * DATETIME comes as `YYYY-MM-DD HH:mm:ss` in Asia/Shanghai wall time, BIGINT as a decimal string.
 */
export function mysql<Tables>(name: MysqlName, clock = Date.now): Kysely<Tables> {
  const credentials = secret(name, Credentials, clock);
  return new Kysely<Tables>({
    dialect: new MysqlDialect({
      pool: repeating(named(name, renewedPool(credentials))),
      onCreateConnection: async (connection) => {
        await connection.executeQuery(CompiledQuery.raw(session));
      },
    }),
  });
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

/** What every connection begins with. */
export const session = `set session time_zone = '+08:00', session transaction_isolation = 'READ-COMMITTED',
  session innodb_lock_wait_timeout = ${lockWaitTimeoutSeconds},
  session sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'`;

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
 * A pool whose connections run a statement that stands alone once more where MySQL chose it as a deadlock's victim, or
 * it waited too long for a lock: it is a transaction of its own, and nothing else saw it.
 */
export function repeating(pool: MysqlPool): MysqlPool {
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
export const isLockConflict = (error: unknown): boolean =>
  error instanceof Error && 'errno' in error && (error.errno === 1213 || error.errno === 1205);
