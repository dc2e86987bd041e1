import type { MysqlPool } from 'kysely';
import { createPool, type Pool, type PoolConnection } from 'mysql2';
import * as z from 'zod';
import { connectionsPerInstanceMax } from './names.ts';
import type { ReadSecret } from './secret.ts';
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

const connectTimeoutMs = 5_000;
/** The pool that is there, the one after a rotation, and one more should there be a second at the same time. */
const poolsTriedMax = 3;

interface Opened {
  readonly pool: Pool;
  readonly credentials: Credentials;
  /** Connections that are in use. */
  lent: number;
  retired: boolean;
}

/**
 * What Kysely takes for a pool. It opens when first used. Where the server refuses the password, the secret is read
 * past its cache; if it says something else now, a new pool takes the old one's place, and the caller notices nothing.
 * Connections of the old pool stay good until they are given back: the server asks for a password only once.
 */
export function renewedPool(credentials: ReadSecret<Credentials>): MysqlPool {
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
        return await lend(used.pool);
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
    ...{ host, port, user: username, password },
    ...tlsOptions(credentials),
    connectionLimit: connectionsPerInstanceMax,
    connectTimeout: connectTimeoutMs,
    ...typesOfValues,
  });
  const opened: Opened = { pool, credentials, lent: 0, retired: false };
  pool.on('acquire', () => {
    opened.lent += 1;
  });
  pool.on('release', () => {
    opened.lent -= 1;
    endIfDone(opened);
  });
  return opened;
}

function retire(opened: Opened): void {
  opened.retired = true;
  endIfDone(opened);
}

/** Not before its last connection is back: mysql2 ends those in use, too, in the middle of their transactions. */
function endIfDone({ pool, lent, retired }: Opened): void {
  if (retired && !lent) pool.end(() => {});
}

const lend = (pool: Pool): Promise<PoolConnection> =>
  new Promise((done, failed) => {
    pool.getConnection((error, connection) => (error ? failed(error) : done(connection)));
  });

const isDenied = (error: unknown): boolean =>
  error instanceof Error && 'errno' in error && error.errno === 1045;
