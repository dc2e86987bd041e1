/** Bare peers of the product: the same driver and statements without our code. */
import { createPool, type Pool, type PoolConnection } from 'mysql2';
import { session } from '../lib/platform/mysql/mysql.ts';
import { typesOfValues } from '../lib/platform/mysql/mysql-pool.ts';
import { connectionsPerInstanceMax } from '../lib/platform/names.ts';
import { users } from '../local/users.ts';

/** A pool as the product has it, without anything of ours around it. */
export function barePool(
  { host, port }: { readonly host: string; readonly port: number },
  user: 'signalbox' | 'upstream' = 'signalbox',
): Pool {
  const { username, password } = users[user];
  const connectionLimit = connectionsPerInstanceMax;
  const pool = createPool({
    host,
    port,
    user: username,
    password,
    connectionLimit,
    ...typesOfValues,
  });
  pool.on('connection', (connection) => connection.query(session));
  return pool;
}

/** By the driver's callbacks: its promises take a stack trace for each statement. */
export const asked = (
  on: Pool | PoolConnection,
  query: string | { sql: string; rowsAsArray: true },
  values: readonly unknown[],
): Promise<unknown> =>
  new Promise((done, failed) => {
    const options = typeof query === 'string' ? { sql: query } : query;
    on.query({ ...options, values: [...values] }, (error: Error | null, result: unknown) =>
      error ? failed(error) : done(result),
    );
  });

export const lent = (pool: Pool): Promise<PoolConnection> =>
  new Promise((got, failed) => {
    pool.getConnection((error, connection) => (error ? failed(error) : got(connection)));
  });
