import { CompiledQuery, Kysely, MysqlDialect, type Transaction } from 'kysely';
import type { MysqlName } from './names.ts';
import { Credentials, renewedPool } from './pool.ts';
import { secret } from './secret.ts';

/** So that all attempts of a transaction fit into the shortest time-out of a consumer, 10 s. */
export const lockWaitTimeoutSeconds = 2;

/**
 * A connection pool that opens at its first query, and anew when the password was rotated.
 * DATETIME comes as `YYYY-MM-DD HH:mm:ss` in Asia/Shanghai wall time, BIGINT as a decimal string.
 */
export function mysql<Tables>(name: MysqlName): Kysely<Tables> {
  const credentials = secret(name, Credentials);
  return new Kysely<Tables>({
    dialect: new MysqlDialect({
      pool: renewedPool(credentials),
      onCreateConnection: async (connection) => {
        await connection.executeQuery(CompiledQuery.raw(session));
      },
    }),
  });
}

/** What every connection begins with. */
export const session = `set session time_zone = '+08:00', session transaction_isolation = 'READ-COMMITTED',
  session innodb_lock_wait_timeout = ${lockWaitTimeoutSeconds},
  session sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'`;

const transactionAttemptsMax = 4;

/** Runs `body` in a transaction; all of it once more where MySQL chose it as a deadlock's victim (1213, 1205). */
export async function inTransaction<Tables, Result>(
  mysql: Kysely<Tables>,
  body: (trx: Transaction<Tables>) => Promise<Result>,
): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await mysql.transaction().execute(body);
    } catch (error) {
      if (attempt === transactionAttemptsMax || !isLockConflict(error)) throw error;
      await new Promise((done) => setTimeout(done, 10 * attempt ** 2));
    }
  }
}

const isLockConflict = (error: unknown): boolean =>
  error instanceof Error && 'errno' in error && (error.errno === 1213 || error.errno === 1205);
