/** TLS options that verify the identity of a MySQL server. */
import { connect, isIP } from 'node:net';
import type { ConnectionOptions } from 'mysql2';

/**
 * How a MySQL server is reached over TLS: its certificate must be of a trusted authority, valid now, and made out to the
 * `host` that we connect to; otherwise the connection ends before our login is sent. Lambda's own bundle
 * (NODE_EXTRA_CA_CERTS) holds the authorities of RDS. Every connection to MySQL is opened with these options.
 */
export function tlsOptions({
  host,
  port,
  ssl,
}: {
  readonly host: string;
  readonly port: number;
  readonly ssl: boolean;
}): Pick<ConnectionOptions, 'ssl' | 'stream'> {
  if (!ssl) return {};
  return {
    ssl: { verifyIdentity: true, rejectUnauthorized: true, minVersion: 'TLSv1.2' },
    ...(isIP(host) && { stream: () => named(host, port) }),
  };
}

/**
 * mysql2 names no server to TLS where `host` is an address; Node then checks the certificate against the name that the
 * socket was connected by, which it does not note for an address, and against `localhost` without one.
 */
const named = (host: string, port: number) => Object.assign(connect(port, host), { _host: host });
