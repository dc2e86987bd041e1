import ZongJi, { type AnyBinlogEvent, type BinlogEventName } from '@vlasky/zongji';
import { Unavailable } from '../../platform/errors.ts';
import type { Credentials } from '../../platform/mysql/mysql-pool.ts';
import { typesOfValues } from '../../platform/mysql/mysql-pool.ts';
import { tlsOptions } from '../../platform/mysql/tls.ts';
import type { Checkpoint } from '../checkpoints.ts';
import { checkLoad, logEventsOf } from './decode-events.ts';
import { noRoutes, orderTable, type Routes } from './indirect-writes.ts';
import type { LogEvent } from './log-events.ts';
import { eventTypes, hasChecksums, type Packet, type RawEvent, rawEventOf } from './raw-events.ts';

/** Events as they come, taken in portions. */
export interface Stream {
  /** What has come; waits for it up to `waitMs`, then it is empty. */
  readonly take: (waitMs: number) => Promise<readonly LogEvent[]>;
  readonly close: () => Promise<void>;
}

/** Events and row images that are kept while nobody takes them; then the server has to wait. */
const keptMax = 4_000;
const connectTimeoutMs = 5_000;

const looked: readonly BinlogEventName[] = [
  ...(['gtid', 'anonymousgtid', 'query', 'xid', 'xaprepare'] as const),
  ...(['rotate', 'previousgtids'] as const),
  ...(['tablemap', 'writerows', 'updaterows', 'deleterows'] as const),
];

/**
 * The binlog of a server from a checkpoint on, with no end. `by` says how the place is found: by
 * file and position where the files are still those of the checkpoint, which is quick, else by
 * GTIDs, for which the server reads its files from their beginning.
 */
export function openBinlog(
  credentials: Credentials,
  serverId: number,
  { gtidSet, file, position }: Checkpoint,
  by: 'position' | 'gtids',
  routes: Routes = noRoutes(),
): Stream {
  const { host, port, username, password } = credentials;
  const zongji = new ZongJi({
    ...{ host, port, user: username, password, connectTimeout: connectTimeoutMs },
    ...tlsOptions(credentials),
    ...typesOfValues,
  });
  let events: LogEvent[] = [];
  let kept = 0;
  let paused = false;
  let failure: Error | undefined;
  /** The event that is about to come from zongji, as the server sent it. */
  let raw: RawEvent | undefined;
  let wake: (() => void) | undefined;
  let waking = false;
  const arrived = () => {
    waking = false;
    // They may have been taken in between: an empty portion means that nothing came for a while.
    if (!events.length && !failure) return;
    wake?.();
    wake = undefined;
  };
  const fail = (error: Error) => {
    failure ??= explained(error);
    arrived();
  };

  function take(event: AnyBinlogEvent): void {
    if (failure) return;
    try {
      for (const one of logEventsOf(event, raw, routes)) {
        events.push(one);
        kept += one.kind === 'rows' ? one.changes.length : 1;
      }
    } catch (error) {
      fail(errorOf(error));
      return;
    }
    if (kept >= keptMax && !paused) {
      paused = true;
      zongji.connection?.pause();
    }
    // Not at once: what came in one piece is taken in one piece.
    if (!waking) setImmediate(arrived);
    waking = true;
  }

  /** Looks at each packet before zongji does; the connection calls this method of its own by name. */
  function lookAtPackets(): void {
    const connection = zongji.connection as unknown as { handlePacket: HandlePacket } | null;
    if (!connection) return;
    const handle = connection.handlePacket.bind(connection);
    connection.handlePacket = (packet) => {
      raw = packet && rawEventOf(packet);
      if (raw && !failure) look(raw);
      handle(packet);
    };
  }

  function look(event: RawEvent): void {
    try {
      if (event.type === eventTypes.format && hasChecksums(event) !== zongji.useChecksum)
        throw new Unavailable(`This file of the binlog was written with another binlog_checksum.`);
      if (event.type === eventTypes.executeLoad) checkLoad(event, zongji.useChecksum, routes);
    } catch (error) {
      fail(errorOf(error));
    }
  }

  zongji.on('error', fail);
  zongji.on('ready', lookAtPackets);
  zongji.on('binlog', take);
  const { schema, table } = orderTable;
  zongji.start({
    serverId,
    ...(by === 'gtids' ? { gtidSet: gtidSet ?? '' } : { filename: file, position }),
    includeSchema: { [schema]: [table] },
    includeEvents: [...looked],
  });

  return {
    take: async (waitMs) => {
      if (!events.length && !failure) await arrival(waitMs);
      if (!events.length && failure) throw failure;
      const taken = events;
      events = [];
      kept = 0;
      if (paused) {
        paused = false;
        zongji.connection?.resume();
      }
      return taken;
    },
    close: () =>
      new Promise((closed) => {
        zongji.removeAllListeners('binlog');
        zongji.once('stopped', closed);
        zongji.stop();
      }),
  };

  function arrival(waitMs: number): Promise<void> {
    return new Promise((done) => {
      const timer = setTimeout(done, waitMs);
      wake = () => {
        clearTimeout(timer);
        done();
      };
    });
  }
}

type HandlePacket = (packet: Packet | undefined) => void;

const errorOf = (thrown: unknown): Error =>
  thrown instanceof Error ? thrown : new Error(String(thrown));

/** errno of everything that is wrong with the place from which we want to read. */
const cannotRead = 1236;

function explained(error: Error): Error {
  if ('errno' in error && error.errno === cannotRead)
    return new Error(`The server does not give its binlog: ${error.message}`, { cause: error });
  if (/Control connection unavailable/.test(error.message))
    return new Unavailable('The connection to the binlog was lost.', { cause: error });
  return error;
}
