/** Assembles binlog events into transactions and batches. No I/O. */
import { GtidSet } from '@vlasky/zongji';
import type { Checkpoint } from '../checkpoints.ts';
import type { LogEvent, OrderImage, RowChange } from './log-events.ts';

/** A change with its position in the binlog: `<transaction>:<ordinal of the order row in it>`. */
export interface PlacedChange extends RowChange {
  readonly place: string;
  /** The xid, if the change belongs to an XA transaction that is only prepared. */
  readonly prepared?: string;
  /** The row that had this id before the same transaction deleted it or changed its id (REPLACE). */
  readonly former?: OrderImage;
}

/** A committed XA transaction that was prepared before the first event that was read. */
export interface Missed {
  readonly place: string;
  readonly xid: string;
  readonly atMs: number;
}

/** Changes and a checkpoint that are written in one transaction. */
export interface Batch {
  readonly changes: readonly PlacedChange[];
  /** XA transactions whose stored rows can be deleted. */
  readonly finished: readonly string[];
  /** XA transactions that are prepared and still open, with or without order rows. */
  readonly prepared: readonly string[];
  readonly missed: readonly Missed[];
  readonly checkpoint: Checkpoint;
}

/** Collects events and returns them as batches. */
export interface Reading {
  readonly take: (event: LogEvent) => void;
  /** Returns the number of order rows to be written, including those of an open transaction. */
  readonly rows: () => number;
  readonly inTransaction: () => boolean;
  /** Returns whether the open transaction has order rows that no earlier run has written. */
  readonly progressed: () => boolean;
  readonly place: () => Pick<Checkpoint, 'file' | 'position'>;
  /** Returns the xid of the open XA transaction. */
  readonly xid: () => string | undefined;
  /** Returns whether the XA transaction with this xid was prepared since the last batch. */
  readonly isPrepared: (xid: string) => boolean;
  /** Returns all complete transactions; undefined if the position has not moved since the last batch. */
  readonly whole: () => Batch | undefined;
  /** Returns the rows of the open transaction as well, for transactions that do not fit into memory. */
  readonly all: () => Batch;
}

interface Open {
  readonly gtid: string | null;
  readonly name: string;
  /** Order rows so far, including those that an earlier run has written. */
  rows: number;
  /** After BEGIN: a statement is part of this transaction, not a transaction by itself. */
  begun: boolean;
  prepared: string | undefined;
  readonly skip: number;
  readonly committedAtMs: number | undefined;
  /** The last rows that were deleted or changed their id, by their former id. */
  readonly former: Map<string, OrderImage>;
}

/**
 * Assembles the events after a checkpoint into transactions. Deterministic: the same events yield the
 * same changes with the same positions, whichever checkpoint reading started from.
 *
 * The position moves only at the end of a transaction.
 */
export function transactionAssembler(from: Checkpoint): Reading {
  let gtids = from.gtidSet === null ? null : GtidSet.parse(from.gtidSet);
  /** All GTIDs of the files before this one. */
  let gtidsBefore: string | undefined;
  let { file, position, atMs } = from;
  let resumed = from.open;
  let open: Open | undefined;
  let changes: PlacedChange[] = [];
  /** The number of `changes` that belong to ended transactions. */
  let ended = 0;
  let finished: string[] = [];
  let prepared = new Set<string>();
  let missed: Missed[] = [];
  let moved = false;

  function begin(gtid: string | null, at: number, committedAtMs: number | undefined): void {
    // At the first transaction with a GTID the position gets its GTID set.
    if (gtid && gtidsBefore !== undefined) gtids ??= GtidSet.parse(gtidsBefore);
    // Without GTIDs a transaction is named by the end position of its first event.
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
      // A change with a position comes from a stored XA transaction that is committed now.
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
    // The xid may have been used before: rows left over from it must not be committed with this one.
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
    // While rows of an earlier run are skipped, the checkpoint must not move back to them.
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

/** Rows remembered per transaction: more than one REPLACE deletes before it inserts. */
const formerMax = 100;

/** Returns the row that had the id of an inserted row before, and remembers the row that gives up its id. */
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
