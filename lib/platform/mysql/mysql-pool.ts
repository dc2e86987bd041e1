/** A connection pool that follows the rotation of its password. */
import type { MysqlPool } from 'kysely';
import { createPool, type Pool, type PoolConnection } from 'mysql2';
import * as z from 'zod';
import { type ReadSecret, secret } from '../lambda/secret.ts';
import { connectionsPerInstanceMax, type MysqlName } from '../names.ts';
import { tlsOptions } from './tls.ts';

/** The form in which RDS writes a secret; `ssl` is false only where server and client share a machine. */
export const Credentials = z.object({
  host: z.string().min(1),
  port: z.coerce.number().int().positive(),
  username: z.string().min(1),
  password: z.string(),
  ssl: z.boolean().default(true),
});
export type Credentials = z.infer<typeof Credentials>;

/** Returns a function that reads the credentials of a server from its secret. */
export const credentialsOf = (name: MysqlName): ReadSecret<Credentials> =>
  secret(name, Credentials);

const connectTimeoutMs = 5_000;
/** The pool that is there, the one after a rotation, and one more should there be a second at the same time. */
const poolsTriedMax = 3;

interface Opened {
  readonly pool: Pool;
  readonly credentials: Credentials;
  /** Connections that are in use. */
  readonly lent: Set<PoolConnection>;
  /** Since when the others are not. */
  readonly idleSince: WeakMap<PoolConnection, number>;
  retired: boolean;
}

/**
 * What Kysely takes for a pool. It opens when first used. Where the server refuses the password, the secret is read
 * past its cache; if it says something else now, a new pool takes the old one's place, and the caller notices nothing.
 * Connections of the old pool stay good until they are given back: the server asks for a password only once.
 * One that was idle for `idleMsMax` is not lent any more: the server may have closed it, or be about to.
 */
export function renewedPool(
  credentials: ReadSecret<Credentials>,
  idleMsMax: number = Number.POSITIVE_INFINITY,
): MysqlPool {
  let current: Opened | undefined;
  let opening: Promise<Opened> | undefined;

  async function opened(): Promise<Opened> {
    opening ??= credentials()
      .then((read) => {
        current = open(read);
        return current;
      })
      .finally(() => {
        opening = undefined;
      });
    return await opening;
  }

  async function connection(): Promise<PoolConnection> {
    for (let tried = 1; ; tried++) {
      const used = current ?? (await opened());
      try {
        return await lend(used, idleMsMax);
      } catch (error) {
        if (tried === poolsTriedMax || !(used.retired || (await renewed(used, error)))) throw error;
      }
    }
  }

  /** Whether another pool has taken the place of the one that failed with this error. */
  async function renewed(used: Opened, error: unknown): Promise<boolean> {
    if (!isDenied(error)) return false;
    const fresh = await credentials({ pastCache: true });
    if (used.retired) return true;
    if (JSON.stringify(fresh) === JSON.stringify(used.credentials)) return false;
    current = open(fresh);
    retire(used);
    return true;
  }

  return {
    getConnection: (callback) =>
      void connection().then(
        (lent) => callback(null, lent),
        (error) => callback(error, undefined as never),
      ),
    end: (callback) => (current ? current.pool.end(callback) : callback(null)),
  };
}

/** How mysql2 hands values over. */
export const typesOfValues = {
  dateStrings: true,
  timezone: '+08:00',
  supportBigNumbers: true,
  bigNumberStrings: true,
  charset: 'utf8mb4',
} as const;

function open(credentials: Credentials): Opened {
  const { host, port, username, password } = credentials;
  const pool = createPool({
    host,
    port,
    user: username,
    password,
    ...tlsOptions(credentials),
    connectionLimit: connectionsPerInstanceMax,
    connectTimeout: connectTimeoutMs,
    ...typesOfValues,
  });
  const opened: Opened = {
    pool,
    credentials,
    retired: false,
    lent: new Set(),
    idleSince: new WeakMap(),
  };
  const returned = (connection: PoolConnection) => {
    if (opened.lent.delete(connection)) endIfDone(opened);
  };
  pool.on('connection', (connection) => hangUpOnDestroy(connection, returned));
  pool.on('acquire', (connection) => void opened.lent.add(connection));
  pool.on('release', (connection) => {
    opened.idleSince.set(connection, Date.now());
    returned(connection);
  });
  return opened;
}

/** mysql2's own `destroy` only ends its side of the connection, and leaves the rest to a server that may be silent. */
function hangUpOnDestroy(
  connection: PoolConnection,
  returned: (connection: PoolConnection) => void,
): void {
  const destroy = connection.destroy.bind(connection);
  const { stream } = connection as unknown as { readonly stream: { destroy(): void } };
  connection.destroy = () => {
    destroy();
    stream.destroy();
    returned(connection);
  };
}

function retire(opened: Opened): void {
  opened.retired = true;
  endIfDone(opened);
}

/** Not before its last connection is back: mysql2 ends those in use, too, in the middle of their transactions. */
function endIfDone({ pool, lent, retired }: Opened): void {
  if (retired && !lent.size) pool.end(() => {});
}

async function lend({ pool, idleSince }: Opened, idleMsMax: number): Promise<PoolConnection> {
  for (;;) {
    const connection = await new Promise<PoolConnection>((done, failed) => {
      pool.getConnection((error, got) => (error ? failed(error) : done(got)));
    });
    const idleMs = Date.now() - (idleSince.get(connection) ?? Date.now());
    idleSince.delete(connection);
    if (idleMs < idleMsMax) return connection;
    connection.destroy();
  }
}

const isDenied = (error: unknown): boolean =>
  error instanceof Error && 'errno' in error && error.errno === 1045;
