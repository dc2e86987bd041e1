import type { Kysely } from 'kysely';
import { cutTo } from '../../platform/cut.ts';
import { isUnavailable, Unavailable } from '../../platform/errors.ts';
import type { Tick } from '../../platform/lambda/schedule.ts';
import type { Deliver } from '../../platform/messaging/outbox.ts';
import { type Lease, LeaseLost } from '../../platform/mysql/lease.ts';
import type { FirstSwitchOff } from '../../platform/operations/switches.ts';
import { readCheckpoint, readerName } from '../checkpoints.ts';
import type { LogEvent } from '../decoding/log-events.ts';
import type { Stream } from '../decoding/stream.ts';
import {
  type Batch,
  type Missed,
  type Reading,
  transactionAssembler,
} from '../decoding/transactions.ts';
import { requeueStuckPushes } from '../pushes/requeue-stuck.ts';
import type { OrderSettings } from '../settings.ts';
import type { OrderSwitch } from '../switches.ts';
import type { PushTables } from '../tables.ts';
import type { ResumePoint } from './binlog-position.ts';
import type { Source } from './binlog-source.ts';
import {
  acquireReaderLease,
  endMs,
  handoverRequested,
  intervalElapsed,
  renewEveryMs,
} from './reader-lease.ts';
import {
  preparedRows,
  type Replaced,
  type Unwritable,
  type WriteDeps,
  wasPrepared,
  writeBatch,
} from './write-batch.ts';

export interface TailDeps {
  readonly mysql: Kysely<PushTables>;
  readonly binlog: Source;
  readonly deliver: Deliver;
  readonly settings: () => Promise<Pick<OrderSettings, 'stuckAfterMinutes'>>;
  /** The first of these kill switches that is off. */
  readonly firstSwitchOff: FirstSwitchOff<OrderSwitch>;
  readonly pause: (ms: number) => Promise<void>;
  /** Order rows that are written together, and kept in memory until then. */
  readonly rowsPerWriteMax: number;
}

export const rowsPerWriteMax = 200;

/** How soon a holder notices that it is asked to yield. */
const lookEveryMs = 250;
const retryAfterMs = 1_000;
/** Without order rows the place is written this seldom: each writing is an event in our own binlog. */
const idleWriteMs = 10_000;
/** Silent for so long while the server has more: the connection is dead without saying so. */
const silentMsMax = 15_000;

interface Done {
  changes: number;
  pushes: number;
  first: ResumePoint['firstRun'];
  lostUpstream: ResumePoint['lostUpstream'];
  readonly unwritable: Listed<Unwritable>;
  readonly replaced: Listed<Replaced>;
  readonly missed: Listed<Missed>;
  /** Statements that may have changed orders by a trigger that cannot be seen. */
  readonly unclear: Listed<string>;
}

/** The first of a list that may be of any length. */
interface Listed<Item> {
  readonly first: Item[];
  count: number;
}

const listed = <Item>(): Listed<Item> => ({ first: [], count: 0 });

function add<Item>(to: Listed<Item>, items: readonly Item[]): void {
  to.count += items.length;
  to.first.push(...items.slice(0, shownMax - to.first.length));
}

const shownMax = 50;
const statementLengthMax = 200;

/** What a person should look at; what is not there is not named. */
const listedOf = ({ unwritable, replaced, missed, unclear }: Done) =>
  Object.fromEntries(
    Object.entries({ unwritable, replaced, missed, unclear }).flatMap(([name, { first, count }]) =>
      count ? [[name, first] as const, [`${name} count`, count]] : [],
    ),
  );

/**
 * Reads the order database's binlog from where the run before stopped, and writes a push for each
 * change that a scenario names, until the next run takes over: back to back, one at a time.
 */
export async function tailBinlog(deps: TailDeps, { remaining }: Pick<Tick, 'remaining'>) {
  if (await deps.firstSwitchOff(readerName)) return { outcome: 'switched off' };
  const claimed = await acquireReaderLease(deps, remaining);
  if (!claimed) return { outcome: 'another reads' };
  const done: Done = {
    ...{ changes: 0, pushes: 0, first: undefined, lostUpstream: undefined },
    ...{ unwritable: listed(), replaced: listed(), missed: listed(), unclear: listed() },
  };
  try {
    const nudged = await requeueStuckPushes(deps);
    const ended = await readOn(deps, claimed, remaining, done);
    const { changes, pushes, first, lostUpstream } = done;
    const facts = { ended, changes, pushes, nudged, ...(lostUpstream && { lostUpstream }) };
    return {
      outcome: pushes ? 'pushed' : 'nothing new',
      ...facts,
      ...listedOf(done),
      ...(first && { firstRun: first }),
    };
  } catch (error) {
    if (error instanceof LeaseLost) return { outcome: 'overtaken', changes: done.changes };
    throw error;
  } finally {
    await letGo(claimed);
  }
}

/** Where the database is unavailable the lease ends by itself. */
async function letGo({ release }: Lease): Promise<void> {
  try {
    await release();
  } catch (error) {
    if (!isUnavailable(error)) throw error;
  }
}

type Ended = 'asked to yield' | 'out of time' | 'switched off';

/** Reads from the checkpoint on; from there once more after a database was unavailable. */
async function readOn(
  deps: TailDeps,
  claimed: Lease,
  remaining: () => number,
  done: Done,
): Promise<Ended> {
  for (;;) {
    try {
      const found = await deps.binlog.find(await readCheckpoint(deps.mysql));
      done.first ??= found.firstRun;
      done.lostUpstream ??= found.lostUpstream;
      const stream = await deps.binlog.open(found, claimed.fencingToken);
      try {
        return await follow(deps, { claimed, found, stream, remaining, done });
      } finally {
        // Before the connections are closed, which takes a while: the next one may begin.
        await letGo(claimed);
        await stream.close();
      }
    } catch (error) {
      if (!isUnavailable(error)) throw error;
      await backUnderLease(deps, claimed, remaining, error);
    }
  }
}

/** Returns once the lease is renewed. Throws `unavailable` where there is no time left to wait for that. */
async function backUnderLease(
  { pause }: TailDeps,
  claimed: Lease,
  remaining: () => number,
  unavailable: unknown,
): Promise<void> {
  for (;;) {
    if (remaining() < endMs + retryAfterMs) throw unavailable;
    await pause(retryAfterMs);
    const renewed = await claimed.renew().catch((error) => {
      if (!isUnavailable(error)) throw error;
      return undefined;
    });
    if (renewed) return;
    if (renewed === false) throw new LeaseLost('The lease ended while nothing could be read.');
  }
}

interface Run {
  readonly claimed: Lease;
  readonly found: ResumePoint;
  readonly stream: Stream;
  readonly remaining: () => number;
  readonly done: Done;
}

async function follow(deps: TailDeps, run: Run): Promise<Ended> {
  const { claimed, found, stream, remaining } = run;
  const reading = transactionAssembler(found.from);
  if (found.firstRun)
    await write(deps, run, {
      ...{ changes: [], finished: [], prepared: [], missed: [] },
      checkpoint: found.from,
    });
  const [looking, renewing] = [
    intervalElapsed(remaining, lookEveryMs),
    intervalElapsed(remaining, renewEveryMs),
  ];
  const [idle, listen] = [
    intervalElapsed(remaining, idleWriteMs),
    listenerOf(deps, reading, remaining),
  ];
  for (;;) {
    const events = await stream.take(lookEveryMs);
    for (const event of events) await read(deps, run, reading, event);
    if (reading.rows() || idle()) await write(deps, run, reading.whole());
    await listen(events.length > 0);
    if (renewing() && !(await claimed.renew()))
      throw new LeaseLost('The lease was taken by another.');
    const ended = await endedBy(deps, reading, remaining, looking);
    if (!ended) continue;
    // Of a transaction too large for one run a part is written: the next one goes on after it.
    await write(deps, run, reading.progressed() ? reading.all() : reading.whole());
    return ended;
  }
}

async function read(deps: TailDeps, run: Run, reading: Reading, event: LogEvent): Promise<void> {
  if (event.kind === 'statement' && event.unclear)
    add(run.done.unclear, [cutTo(event.sql, statementLengthMax)]);
  if (event.kind === 'xa committed' || event.kind === 'xa one phase')
    await readPrepared(deps, run, reading, event);
  reading.take(await withKnowledge(deps, reading, event));
  if (reading.rows() >= deps.rowsPerWriteMax) await write(deps, run, reading.all());
}

/** A commit says whether its transaction was seen when it was prepared. */
async function withKnowledge(
  { mysql }: TailDeps,
  reading: Reading,
  event: LogEvent,
): Promise<LogEvent> {
  if (event.kind !== 'xa committed' || reading.isPrepared(event.xid)) return event;
  return { ...event, known: await wasPrepared(mysql, event.xid) };
}

/** The rows of an XA transaction count now that it is committed. */
async function readPrepared(
  deps: TailDeps,
  run: Run,
  reading: Reading,
  event: Extract<LogEvent, { kind: 'xa committed' | 'xa one phase' }>,
): Promise<void> {
  const xid = event.kind === 'xa committed' ? event.xid : (reading.xid() ?? '');
  // They may have come a moment ago: they must lie in the table before they are taken from it.
  if (reading.rows()) await write(deps, run, reading.all());
  for (let after: string | undefined = '0'; after !== undefined; ) {
    const page = { after, atMs: event.atMs, limit: deps.rowsPerWriteMax };
    const { changes, last } = await preparedRows(deps.mysql, xid, page);
    reading.take({ kind: 'rows', changes });
    if (last !== undefined) await write(deps, run, reading.all());
    after = last;
  }
}

async function write(deps: WriteDeps, { claimed, done }: Run, batch: Batch | undefined) {
  if (!batch) return;
  const { pushes, unwritable, replaced } = await writeBatch(deps, claimed, batch);
  done.pushes += pushes;
  done.changes += batch.changes.length;
  add(done.unwritable, unwritable);
  add(done.replaced, replaced);
  add(done.missed, batch.missed);
}

async function endedBy(
  { mysql, firstSwitchOff }: TailDeps,
  reading: Reading,
  remaining: () => number,
  looking: () => boolean,
): Promise<Ended | undefined> {
  if (remaining() <= endMs) return 'out of time';
  if (!looking()) return undefined;
  // Where the place cannot be noted the next one would only begin again: it has to wait.
  if (reading.inTransaction() && !reading.progressed()) return undefined;
  if (await firstSwitchOff(readerName)) return 'switched off';
  return (await handoverRequested(mysql)) ? 'asked to yield' : undefined;
}

/** Throws where the server has had more for a while, and nothing of it has come. */
function listenerOf(
  { binlog }: TailDeps,
  reading: Reading,
  remaining: () => number,
): (heard: boolean) => Promise<void> {
  let silent = intervalElapsed(remaining, silentMsMax);
  let more = false;
  return async (heard) => {
    if (heard) {
      silent = intervalElapsed(remaining, silentMsMax);
      more = false;
    }
    if (heard || !silent()) return;
    if (more) throw new Unavailable('The server has more in its binlog and does not send it.');
    const [end, place] = [await binlog.end(), reading.place()];
    more = end.file !== place.file || end.position !== place.position;
  };
}
