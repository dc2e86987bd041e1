import type { Kysely } from 'kysely';
import { Credentials } from '../platform/pool.ts';
import { type ReadSecret, secret } from '../platform/secret.ts';
import { openBinlog, type Stream } from './binlog.ts';
import type { Checkpoint } from './checkpoints.ts';
import { type Found, find, type LogState, logState } from './server.ts';
import type { OrderSettings } from './settings.ts';
import type { OrderTables } from './tables.ts';
import { routesOf } from './visible-routes.ts';

/** Where changes of orders are read from. */
export interface Source {
  readonly find: (checkpoint: Checkpoint | undefined) => Promise<Found>;
  /** `epoch` is that of the lease: two readers must not have the same number at the server. */
  readonly open: (found: Found, epoch: string) => Promise<Stream>;
  readonly end: () => Promise<LogState>;
}

/** As many server_ids are the reader's: one that was overtaken has another than its successor. */
const serverIds = 999n;
/** Instead of an epoch: who reads beside the reader, with the last of our server_ids. */
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
  /** The password was refused: it may have been rotated since it was read. */
  let refused = false;
  const noting = (stream: Stream): Stream => ({
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
    find: (checkpoint) => find(order, checkpoint),
    open: async ({ from, by }, epoch) => {
      const { serverIdFirst } = await settings();
      const number = epoch === trial ? serverIds : BigInt(epoch) % serverIds;
      const serverId = serverIdFirst + Number(number);
      const read = await credentials({ pastCache: refused });
      refused = false;
      return noting(openBinlog(read, serverId, from, by, await routesOf(order)));
    },
    end: () => logState(order),
  };
}
