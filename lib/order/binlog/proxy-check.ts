/** Detects a proxy in front of the order database. */
import { createConnection } from 'mysql2/promise';
import type { Credentials } from '../../platform/mysql/mysql-pool.ts';
import { tlsOptions } from '../../platform/mysql/tls.ts';

const connectTimeoutMs = 5_000;
const answerTimeoutMs = 5_000;

/**
 * Returns whether the server answers itself. A proxy (RDS Proxy, ProxySQL, MySQL Router in some modes)
 * uses its own connection ids, which the server does not know. It serves no binlog, or alternates
 * between the binlogs of several servers.
 */
export async function isDirectConnection(credentials: Credentials): Promise<boolean> {
  const { host, port, username, password } = credentials;
  const connection = await createConnection({
    host,
    port,
    user: username,
    password,
    connectTimeout: connectTimeoutMs,
    ...tlsOptions(credentials),
  });
  try {
    const [rows] = await connection.query({
      sql: 'select connection_id() id',
      timeout: answerTimeoutMs,
    });
    const [{ id } = { id: undefined }] = rows as { id?: number | string }[];
    return Number(id) === connection.threadId;
  } finally {
    connection.destroy();
  }
}
