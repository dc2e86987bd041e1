import { GtidSet } from '@vlasky/zongji';
import type { Checkpoint } from './checkpoints.ts';
import type { LogEvent, OrderImage, RowChange } from './log-events.ts';

/** A change and where it stands in the binlog: `<transaction>:<ordinal of the order row in it>`. */
export interface PlacedChange extends RowChange {
  readonly place: string;
  /** It is only prepared, by the XA transaction of this name. */
  readonly prepared?: string;
  /** The row that had this id until it was deleted, or given another, in the same transaction (REPLACE). */
  readonly former?: OrderImage;
}

/** An XA transaction that was prepared before all that was read, and is committed now. */
export interface Missed {
  readonly place: string;
  readonly xid: string;
  readonly atMs: number;
}

/** What is to be written together. */
export interface Batch {
  readonly changes: readonly PlacedChange[];
  /** XA transactions of which nothing needs to be kept any longer. */
  readonly finished: readonly string[];
  /** XA transactions that are prepared and have not ended, with or without order rows. */
  readonly prepared: readonly string[];
  readonly missed: readonly Missed[];
  readonly checkpoint: Checkpoint;
}

/** What was read since the last batch. */
export interface Reading {
  readonly take: (event: LogEvent) => void;
  /** Order rows that wait to be written, those of a transaction that has not ended among them. */
  readonly rows: () => number;
  readonly inTransaction: () => boolean;
  /** Of the open transaction there are order rows beyond those that were written before. */
  readonly progressed: () => boolean;
  readonly place: () => Pick<Checkpoint, 'file' | 'position'>;
  /** The name of the XA transaction that is open. */
  readonly xid: () => string | undefined;
  /** Whether an XA transaction of this name was prepared since the last batch. */
  readonly isPrepared: (xid: string) => boolean;
  /** All whole transactions; undefined where the place has not moved since the last batch. */
  readonly whole: () => Batch | undefined;
  /** The open transaction too, as far as it was read: for one too large to be kept in memory. */
  readonly all: () => Batch;
}

interface Open {
  readonly gtid: string | null;
  readonly name: string;
  /** Order rows met so far, those that were written before among them. */
  rows: number;
  /** Between BEGIN and its end: a statement in it is none of its own. */
  begun: boolean;
  prepared: string | undefined;
  readonly skip: number;
  readonly committedAtMs: number | undefined;
  /** The last rows that were deleted, or given another id, by the id that they had. */
  readonly former: Map<string, OrderImage>;
}

/**
 * Puts the events that follow a checkpoint together into transactions. No I/O, no clock: the same
 * events give the same changes with the same places, wherever the reading began.
 *
 * The place moves at the end of a transaction only, never at its beginning or within it.
 */
export function readingFrom(from: Checkpoint): Reading {
  let gtids = from.gtidSet === null ? null : GtidSet.parse(from.gtidSet);
  /** All GTIDs of the files before this one. */
  let gtidsBefore: string | undefined;
  let { file, position, atMs } = from;
  let resumed = from.open;
  let open: Open | undefined;
  let changes: PlacedChange[] = [];
  /** How many of `changes` belong to transactions that have ended. */
  let ended = 0;
  let finished: string[] = [];
  let prepared = new Set<string>();
  let missed: Missed[] = [];
  let moved = false;

  function begin(gtid: string | null, at: number, committedAtMs: number | undefined): void {
    // The first transaction that has a GTID: from now on the place has them, too.
    if (gtid && gtidsBefore !== undefined) gtids ??= GtidSet.parse(gtidsBefore);
    // Without GTIDs the end of the event that opens it names a transaction for ever.
    const name = gtid ?? `${from.serverUuid}:${file}:${at}`;
    const skip = resumed?.name === name ? resumed.rows : 0;
    const fresh = { begun: false, prepared: undefined, committedAtMs, former: new Map() };
    open = { gtid, name, rows: 0, skip, ...fresh };
  }

  function current(what: string): Open {
    if (open) return open;
    throw new Error(
      `The binlog has ${what} outside a transaction after ${file}:${position}: MySQL before 5.7?`,
    );
  }

  function end(at: number, ms: number): void {
    if (open?.gtid) gtids?.add(open.gtid);
    open = undefined;
    resumed = null;
    position = at;
    atMs = ms;
    ended = changes.length;
    moved = true;
  }

  function rows(images: readonly RowChange[]): void {
    const of = current('rows');
    for (const change of images) {
      const former = formerOf(of.former, change);
      of.rows += 1;
      if (of.rows <= of.skip) continue;
      const place = change.place ?? `${of.name}:${of.rows}`;
      // What has a place already is committed now.
      const prepared = change.place === undefined && of.prepared;
      changes.push({
        ...{ ...change, place, atMs: of.committedAtMs ?? change.atMs },
        ...{ ...(prepared && { prepared }), ...(former && { former }) },
      });
    }
  }

  function prepare(xid: string): void {
    const of = current('XA START');
    of.begun = true;
    of.prepared = xid;
    // The name may have been used before; what is left of that would be committed with this.
    if (!of.skip) finished.push(xid);
  }

  function take(event: LogEvent): void {
    switch (event.kind) {
      case 'file':
        moved ||= event.file !== file || event.position > position;
        file = event.file;
        position = event.position;
        break;
      case 'header':
        gtidsBefore = event.gtids;
        if (!open) position = Math.max(position, event.position);
        break;
      case 'transaction':
        begin(event.gtid, event.position, event.committedAtMs);
        break;
      case 'begin':
        current('BEGIN').begun = true;
        break;
      case 'xa start':
        prepare(event.xid);
        break;
      case 'rows':
        rows(event.changes);
        break;
      default:
        over(event);
    }
  }

  function over(event: Extract<LogEvent, { readonly atMs: number }>): void {
    if (event.kind === 'statement' && open?.begun) return;
    if (event.kind === 'xa prepared') prepared.add(current('XA PREPARE').prepared ?? '');
    if (event.kind === 'xa one phase') finished.push(current('XA COMMIT').prepared ?? '');
    if (event.kind === 'xa committed' || event.kind === 'xa rolled back') finish(event.xid);
    if (event.kind === 'xa committed' && event.known === false)
      missed.push({ place: current('XA COMMIT').name, xid: event.xid, atMs: atOf(event) });
    if (event.kind === 'xa rolled back') changes = changes.filter(notOf(event.xid));
    end(event.position, atOf(event));
  }

  const atOf = (event: { readonly atMs: number }): number => open?.committedAtMs ?? event.atMs;

  function finish(xid: string): void {
    finished.push(xid);
    prepared.delete(xid);
  }

  function batch(count: number, rowsOf: Checkpoint['open']): Batch {
    const taken = { changes: changes.slice(0, count), finished, prepared: [...prepared], missed };
    changes = changes.slice(count);
    ended = 0;
    finished = [];
    prepared = new Set();
    missed = [];
    moved = false;
    const gtidSet = gtids?.toString() ?? null;
    const { serverUuid } = from;
    return { ...taken, checkpoint: { serverUuid, gtidSet, file, position, open: rowsOf, atMs } };
  }

  return {
    take,
    rows: () => changes.length,
    inTransaction: () => open !== undefined,
    progressed: () => open !== undefined && open.rows > open.skip,
    place: () => ({ file, position }),
    xid: () => open?.prepared,
    isPrepared: (xid) => prepared.has(xid),
    whole: () => (moved ? batch(ended, resumed) : undefined),
    // While rows that were written before are passed over, the place does not go back to them.
    all: () =>
      batch(
        changes.length,
        open ? { name: open.name, rows: Math.max(open.rows, open.skip) } : resumed,
      ),
  };
}

const notOf =
  (xid: string) =>
  ({ prepared }: PlacedChange): boolean =>
    prepared !== xid;

/** More than one REPLACE deletes before it inserts; of a large transaction only the last are kept. */
const formerMax = 100;

/** The row that had the id of a row that is made, or given this id, now; notes the one that leaves its id. */
function formerOf(
  former: Map<string, OrderImage>,
  { before, after }: RowChange,
): OrderImage | undefined {
  if (before?.order_id === after?.order_id) return undefined;
  const found = after ? former.get(after.order_id) : undefined;
  if (after) former.delete(after.order_id);
  if (before) former.set(before.order_id, before);
  const [oldest] = former.keys();
  if (former.size > formerMax && oldest !== undefined) former.delete(oldest);
  return found;
}
