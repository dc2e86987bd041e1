import { CompiledQuery, Kysely, MysqlDialect, type Transaction } from 'kysely';
import { createPool } from 'mysql2';
import * as z from 'zod';
import { connectionsPerInstanceMax, type MysqlName } from './names.ts';
import { secret } from './secret.ts';

/** The form in which RDS writes a secret; `ssl` is false only where server and client share a machine. */
const Credentials = z.object({
  host: z.string().min(1),
  port: z.coerce.number().int().positive(),
  username: z.string().min(1),
  password: z.string(),
  ssl: z.boolean().default(true),
});

const connectTimeoutMs = 5_000;
/** So that all attempts of a transaction fit into the shortest time-out of a consumer, 10 s. */
export const lockWaitTimeoutSeconds = 2;

/** How mysql2 hands values over. */
export const typesOfValues = {
  dateStrings: true,
  timezone: '+08:00',
  supportBigNumbers: true,
  bigNumberStrings: true,
  charset: 'utf8mb4',
} as const;

/**
 * A connection pool that opens at its first query.
 * DATETIME comes as `YYYY-MM-DD HH:mm:ss` in Asia/Shanghai wall time, BIGINT as a decimal string.
 */
export function mysql<Tables>(name: MysqlName): Kysely<Tables> {
  const credentials = secret(name, Credentials);
  return new Kysely<Tables>({
    dialect: new MysqlDialect({
      pool: async () => {
        const { host, port, username, password, ssl } = await credentials();
        return createPool({
          ...{ host, port, user: username, password },
          ...(ssl && { ssl: {} }), // Lambda's own bundle (NODE_EXTRA_CA_CERTS) holds the RDS certificates.
          connectionLimit: connectionsPerInstanceMax,
          connectTimeout: connectTimeoutMs,
          ...typesOfValues,
        });
      },
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
