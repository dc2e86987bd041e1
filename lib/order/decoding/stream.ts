/** Streams binlog events from a server, with zongji. */
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

/** A stream of events that is read in batches. */
export interface Stream {
  /** Returns the events that have arrived. Waits up to `waitMs` for the first; then the batch is empty. */
  readonly take: (waitMs: number) => Promise<readonly LogEvent[]>;
  readonly close: () => Promise<void>;
}

/** Events and row images that are buffered before the connection is paused. */
const bufferedMax = 4_000;
const connectTimeoutMs = 5_000;

const eventNames: readonly BinlogEventName[] = [
  'gtid',
  'anonymousgtid',
  'query',
  'xid',
  'xaprepare',
  'rotate',
  'previousgtids',
  'tablemap',
  'writerows',
  'updaterows',
  'deleterows',
];

/**
 * Opens an endless stream of the binlog from a checkpoint on. `by` is `position` if the files are still
 * those of the checkpoint, which is fast; otherwise `gtids`, for which the server scans its files from
 * the beginning.
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
    host,
    port,
    user: username,
    password,
    connectTimeout: connectTimeoutMs,
    ...tlsOptions(credentials),
    ...typesOfValues,
  });
  let events: LogEvent[] = [];
  let buffered = 0;
  let paused = false;
  let failure: Error | undefined;
  /** The bytes of the event that zongji emits next. */
  let raw: RawEvent | undefined;
  let wake: (() => void) | undefined;
  let waking = false;
  const arrived = () => {
    waking = false;
    // Events may have been taken in the meantime; an empty batch must mean that none arrived for `waitMs`.
    if (!events.length && !failure) return;
    wake?.();
    wake = undefined;
  };
  const fail = (error: Error) => {
    failure ??= explained(error);
    arrived();
  };

  function buffer(event: AnyBinlogEvent): void {
    if (failure) return;
    try {
      for (const one of logEventsOf(event, raw, routes)) {
        events.push(one);
        buffered += one.kind === 'rows' ? one.changes.length : 1;
      }
    } catch (error) {
      fail(errorOf(error));
      return;
    }
    if (buffered >= bufferedMax && !paused) {
      paused = true;
      zongji.connection?.pause();
    }
    // Deferred, so that all events of one packet arrive in one batch.
    if (!waking) setImmediate(arrived);
    waking = true;
  }

  /** Intercepts each packet before zongji handles it: mysql2 calls `handlePacket` by name. */
  function interceptPackets(): void {
    const connection = zongji.connection as unknown as { handlePacket: HandlePacket } | null;
    if (!connection) return;
    const handle = connection.handlePacket.bind(connection);
    connection.handlePacket = (packet) => {
      raw = packet && rawEventOf(packet);
      if (raw && !failure) check(raw);
      handle(packet);
    };
  }

  function check(event: RawEvent): void {
    try {
      if (event.type === eventTypes.format && hasChecksums(event) !== zongji.useChecksum)
        throw new Unavailable('This binlog file was written with another binlog_checksum.');
      if (event.type === eventTypes.executeLoad) checkLoad(event, zongji.useChecksum, routes);
    } catch (error) {
      fail(errorOf(error));
    }
  }

  zongji.on('error', fail);
  zongji.on('ready', interceptPackets);
  zongji.on('binlog', buffer);
  const { schema, table } = orderTable;
  zongji.start({
    serverId,
    ...(by === 'gtids' ? { gtidSet: gtidSet ?? '' } : { filename: file, position }),
    includeSchema: { [schema]: [table] },
    includeEvents: [...eventNames],
  });

  return {
    take: async (waitMs) => {
      if (!events.length && !failure) await arrival(waitMs);
      if (!events.length && failure) throw failure;
      const batch = events;
      events = [];
      buffered = 0;
      if (paused) {
        paused = false;
        zongji.connection?.resume();
      }
      return batch;
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

/** MySQL's errno for every problem with the requested position. */
const cannotRead = 1236;

function explained(error: Error): Error {
  if ('errno' in error && error.errno === cannotRead)
    return new Error(`The order database does not send its binlog: ${error.message}`, {
      cause: error,
    });
  if (/Control connection unavailable/.test(error.message))
    return new Unavailable('The binlog connection was lost.', { cause: error });
  return error;
}
