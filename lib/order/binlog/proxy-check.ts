import { createConnection } from 'mysql2/promise';
import type { Credentials } from '../../platform/mysql/mysql-pool.ts';
import { tlsOptions } from '../../platform/mysql/tls.ts';

const connectTimeoutMs = 5_000;
const answerTimeoutMs = 5_000;

/**
 * Whether the server itself answers. A proxy (RDS Proxy, ProxySQL, MySQL Router in some modes)
 * greets with a connection number of its own, which the server behind it does not know; it gives no
 * binlog, or one server's now and another's then.
 */
export async function isDirectConnection(credentials: Credentials): Promise<boolean> {
  const { host, port, username, password } = credentials;
  const connection = await createConnection({
    ...{ host, port, user: username, password, connectTimeout: connectTimeoutMs },
    ...tlsOptions(credentials),
  });
  try {
    const [rows] = await connection.query({
      ...{ sql: 'select connection_id() id', timeout: answerTimeoutMs },
    });
    const [{ id } = { id: undefined }] = rows as { id?: number | string }[];
    return Number(id) === connection.threadId;
  } finally {
    connection.destroy();
  }
}
