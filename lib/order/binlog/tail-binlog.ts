/** Reads the binlog of the order database and writes a push for each change that a scenario names. */
import type { Kysely } from 'kysely';
import { cutTo } from '../../platform/cut.ts';
import { isUnavailable, Unavailable } from '../../platform/errors.ts';
import type { Tick } from '../../platform/lambda/schedule.ts';
import type { Deliver } from '../../platform/messaging/outbox.ts';
import { type Lease, LeaseLost } from '../../platform/mysql/lease.ts';
import type { FirstSwitchOff } from '../../platform/operations/switches.ts';
import type { OutcomeWord } from '../../platform/outcomes.ts';
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
  readonly firstSwitchOff: FirstSwitchOff<OrderSwitch>;
  readonly pause: (ms: number) => Promise<void>;
  /** Order rows that are buffered in memory and written in one transaction. */
  readonly rowsPerWriteMax?: number;
}

const rowsPerWriteMaxDefault = 200;

/** How often the lease holder checks whether another reader asks for the lease. */
const pollEveryMs = 250;
const retryAfterMs = 1_000;
/** Without order rows the checkpoint is written this often: each write is an event in our own binlog. */
const idleWriteMs = 10_000;
/** A connection is dead if it delivers nothing for this long while the server has more events. */
const silentMsMax = 15_000;

interface Totals {
  changes: number;
  pushes: number;
  firstRun: ResumePoint['firstRun'];
  lostUpstream: ResumePoint['lostUpstream'];
  readonly unwritable: Sample<Unwritable>;
  readonly replaced: Sample<Replaced>;
  readonly missed: Sample<Missed>;
  /** Statements that may have changed orders through a trigger that our user may not read. */
  readonly unclear: Sample<string>;
}

/** The first items of a list of any length, and the number of all. */
interface Sample<Item> {
  readonly first: Item[];
  count: number;
}

const emptySample = <Item>(): Sample<Item> => ({ first: [], count: 0 });

function add<Item>(to: Sample<Item>, items: readonly Item[]): void {
  to.count += items.length;
  to.first.push(...items.slice(0, shownMax - to.first.length));
}

const shownMax = 50;
const statementLengthMax = 200;

/** Returns the facts that a person should look at; empty lists are left out. */
const findingsOf = ({ unwritable, replaced, missed, unclear }: Totals) =>
  Object.fromEntries(
    Object.entries({ unwritable, replaced, missed, unclear }).flatMap(([name, { first, count }]) =>
      count ? [[name, first] as const, [`${name} count`, count]] : [],
    ),
  );

/**
 * Reads the binlog from the checkpoint on and writes pushes, until the next run asks for the lease.
 * Only one run reads at a time, and the next one follows at once.
 */
export async function tailBinlog(deps: TailDeps, { remaining }: Pick<Tick, 'remaining'>) {
  if (await deps.firstSwitchOff(readerName)) return switchedOff;
  const lease = await acquireReaderLease(deps, remaining);
  if (!lease) return { outcome: 'lease-not-acquired' as const };
  const totals: Totals = {
    changes: 0,
    pushes: 0,
    firstRun: undefined,
    lostUpstream: undefined,
    unwritable: emptySample(),
    replaced: emptySample(),
    missed: emptySample(),
    unclear: emptySample(),
  };
  try {
    const requeued = await requeueStuckPushes(deps);
    const ended = await readUntilEnd(deps, lease, remaining, totals);
    const { changes, pushes, firstRun, lostUpstream } = totals;
    const outcome: OutcomeWord = pushes ? 'pushed' : 'nothing-new';
    const facts = { outcome, ended, changes, pushes, requeued };
    return {
      ...facts,
      ...(lostUpstream && { lostUpstream }),
      ...findingsOf(totals),
      ...(firstRun && { firstRun }),
    };
  } catch (error) {
    if (error instanceof LeaseLost)
      return { outcome: 'fenced-off' as const, changes: totals.changes };
    throw error;
  } finally {
    await releaseLease(lease);
  }
}

const switchedOff = { outcome: 'switched-off', switch: readerName } as const;

/** Releases the lease. If the database is unavailable, the lease expires by itself. */
async function releaseLease({ release }: Lease): Promise<void> {
  try {
    await release();
  } catch (error) {
    if (!isUnavailable(error)) throw error;
  }
}

type Ended = 'asked to yield' | 'out of time' | 'switched off';

/** Reads from the checkpoint on, and resumes there after a database was unavailable. */
async function readUntilEnd(
  deps: TailDeps,
  lease: Lease,
  remaining: () => number,
  totals: Totals,
): Promise<Ended> {
  for (;;) {
    try {
      const found = await deps.binlog.find(await readCheckpoint(deps.mysql));
      totals.firstRun ??= found.firstRun;
      totals.lostUpstream ??= found.lostUpstream;
      const stream = await deps.binlog.open(found, lease.fencingToken);
      try {
        return await follow(deps, { lease, found, stream, remaining, totals });
      } finally {
        // Released first, so that the next reader need not wait until the connections are closed.
        await releaseLease(lease);
        await stream.close();
      }
    } catch (error) {
      if (!isUnavailable(error)) throw error;
      await renewWithRetry(deps, lease, remaining, error);
    }
  }
}

/** Retries until the lease is renewed. Throws `unavailable` if too little time is left. */
async function renewWithRetry(
  { pause }: TailDeps,
  lease: Lease,
  remaining: () => number,
  unavailable: unknown,
): Promise<void> {
  for (;;) {
    if (remaining() < endMs + retryAfterMs) throw unavailable;
    await pause(retryAfterMs);
    const renewed = await lease.renew().catch((error) => {
      if (!isUnavailable(error)) throw error;
      return undefined;
    });
    if (renewed) return;
    if (renewed === false)
      throw new LeaseLost('The reader’s lease expired while a database was unavailable.');
  }
}

interface Run {
  readonly lease: Lease;
  readonly found: ResumePoint;
  readonly stream: Stream;
  readonly remaining: () => number;
  readonly totals: Totals;
}

async function follow(deps: TailDeps, run: Run): Promise<Ended> {
  const { lease, found, stream, remaining } = run;
  const reading = transactionAssembler(found.from);
  if (found.firstRun)
    await write(deps, run, {
      changes: [],
      finished: [],
      prepared: [],
      missed: [],
      checkpoint: found.from,
    });
  const pollDue = intervalElapsed(remaining, pollEveryMs);
  const renewalDue = intervalElapsed(remaining, renewEveryMs);
  const idleWriteDue = intervalElapsed(remaining, idleWriteMs);
  const checkSilence = silenceCheck(deps, reading, remaining);
  for (;;) {
    const events = await stream.take(pollEveryMs);
    for (const event of events) await read(deps, run, reading, event);
    if (reading.rows() || idleWriteDue()) await write(deps, run, reading.whole());
    await checkSilence(events.length > 0);
    if (renewalDue() && !(await lease.renew()))
      throw new LeaseLost('Another worker has acquired the reader’s lease.');
    const ended = await endReason(deps, reading, remaining, pollDue);
    if (!ended) continue;
    // A transaction may be too large for one run: its rows so far are written, and the next run resumes.
    await write(deps, run, reading.progressed() ? reading.all() : reading.whole());
    return ended;
  }
}

async function read(deps: TailDeps, run: Run, reading: Reading, event: LogEvent): Promise<void> {
  if (event.kind === 'statement' && event.unclear)
    add(run.totals.unclear, [cutTo(event.sql, statementLengthMax)]);
  if (event.kind === 'xa committed' || event.kind === 'xa one phase')
    await readPrepared(deps, run, reading, event);
  reading.take(await markKnown(deps, reading, event));
  if (reading.rows() >= (deps.rowsPerWriteMax ?? rowsPerWriteMaxDefault))
    await write(deps, run, reading.all());
}

/** Sets `known` of an XA commit: whether its transaction was read when it was prepared. */
async function markKnown(
  { mysql }: TailDeps,
  reading: Reading,
  event: LogEvent,
): Promise<LogEvent> {
  if (event.kind !== 'xa committed' || reading.isPrepared(event.xid)) return event;
  return { ...event, known: await wasPrepared(mysql, event.xid) };
}

/** Adds the stored rows of an XA transaction, which take effect with its commit. */
async function readPrepared(
  deps: TailDeps,
  run: Run,
  reading: Reading,
  event: Extract<LogEvent, { kind: 'xa committed' | 'xa one phase' }>,
): Promise<void> {
  const xid = event.kind === 'xa committed' ? event.xid : (reading.xid() ?? '');
  // Its rows may still be buffered: they must be stored before they can be read from the table.
  if (reading.rows()) await write(deps, run, reading.all());
  for (let after: string | undefined = '0'; after !== undefined; ) {
    const page = { after, atMs: event.atMs, limit: deps.rowsPerWriteMax ?? rowsPerWriteMaxDefault };
    const { changes, last } = await preparedRows(deps.mysql, xid, page);
    reading.take({ kind: 'rows', changes });
    if (last !== undefined) await write(deps, run, reading.all());
    after = last;
  }
}

async function write(deps: WriteDeps, { lease, totals }: Run, batch: Batch | undefined) {
  if (!batch) return;
  const { pushes, unwritable, replaced } = await writeBatch(deps, lease, batch);
  totals.pushes += pushes;
  totals.changes += batch.changes.length;
  add(totals.unwritable, unwritable);
  add(totals.replaced, replaced);
  add(totals.missed, batch.missed);
}

async function endReason(
  { mysql, firstSwitchOff }: TailDeps,
  reading: Reading,
  remaining: () => number,
  pollDue: () => boolean,
): Promise<Ended | undefined> {
  if (remaining() <= endMs) return 'out of time';
  if (!pollDue()) return undefined;
  // Without progress there is no new checkpoint, and the next run would repeat this one: it waits.
  if (reading.inTransaction() && !reading.progressed()) return undefined;
  if (await firstSwitchOff(readerName)) return 'switched off';
  return (await handoverRequested(mysql)) ? 'asked to yield' : undefined;
}

/** Returns a check that throws if the server has had more events for a while and sent none of them. */
function silenceCheck(
  { binlog }: TailDeps,
  reading: Reading,
  remaining: () => number,
): (received: boolean) => Promise<void> {
  let silent = intervalElapsed(remaining, silentMsMax);
  let more = false;
  return async (received) => {
    if (received) {
      silent = intervalElapsed(remaining, silentMsMax);
      more = false;
    }
    if (received || !silent()) return;
    if (more)
      throw new Unavailable('The order database has more binlog events and does not send them.');
    const [end, place] = [await binlog.end(), reading.place()];
    more = end.file !== place.file || end.position !== place.position;
  };
}
