/** Opens the binlog of the order database with our credentials and server ids. */
import type { Kysely } from 'kysely';
import { type ReadSecret, secret } from '../../platform/lambda/secret.ts';
import { Credentials } from '../../platform/mysql/mysql-pool.ts';
import type { Checkpoint } from '../checkpoints.ts';
import { openBinlog, type Stream } from '../decoding/stream.ts';
import type { OrderSettings } from '../settings.ts';
import type { OrderTables } from '../tables.ts';
import { type LogState, locateCheckpoint, logState, type ResumePoint } from './binlog-position.ts';
import { routesOf } from './visible-routes.ts';

/** The source of order changes. */
export interface Source {
  readonly find: (checkpoint: Checkpoint | undefined) => Promise<ResumePoint>;
  /** The server_id is derived from `fencingToken`, because two readers must not have the same one. */
  readonly open: (found: ResumePoint, fencingToken: string) => Promise<Stream>;
  readonly end: () => Promise<LogState>;
}

/** Number of server_ids of the reader, so that a fenced-off reader and its successor have different ones. */
const serverIds = 999n;
/** Replaces a fencing token: a trial read next to the reader uses the last of our server_ids. */
export const trial = 'trial';

const accessDenied = 1045;

export function binlogOf({
  order,
  credentials = secret('mysql-order', Credentials),
  settings,
}: {
  readonly order: Kysely<OrderTables>;
  readonly credentials?: ReadSecret<Credentials>;
  readonly settings: () => Promise<Pick<OrderSettings, 'serverIdFirst'>>;
}): Source {
  /** The server refused the password: it may have been rotated since it was cached. */
  let refused = false;
  const withRefusals = (stream: Stream): Stream => ({
    ...stream,
    take: async (waitMs) => {
      try {
        return await stream.take(waitMs);
      } catch (error) {
        refused ||= error instanceof Error && 'errno' in error && error.errno === accessDenied;
        throw error;
      }
    },
  });
  return {
    find: (checkpoint) => locateCheckpoint(order, checkpoint),
    open: async ({ from, by }, fencingToken) => {
      const { serverIdFirst } = await settings();
      const number = fencingToken === trial ? serverIds : BigInt(fencingToken) % serverIds;
      const serverId = serverIdFirst + Number(number);
      const read = await credentials({ pastCache: refused });
      refused = false;
      return withRefusals(openBinlog(read, serverId, from, by, await routesOf(order)));
    },
    end: () => logState(order),
  };
}
