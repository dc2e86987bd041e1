/** Reconstructs orders as they were at a position of the binlog. */
import type { Checkpoint } from '../checkpoints.ts';
import type { OrderImage, RowChange } from '../decoding/log-events.ts';
import { transactionAssembler } from '../decoding/transactions.ts';
import { isAtOrAfter } from './binlog-position.ts';
import type { Source } from './binlog-source.ts';

/** Orders as they were at a position of the binlog, whatever has changed since. */
export interface BeforeImages {
  /** Reads to the present end of the binlog. Call it after reading the rows that `imageOf` is called with. */
  readonly readToEnd: () => Promise<void>;
  /** Returns the row as it was at the position; undefined if it did not exist. */
  readonly imageOf: <Row extends OrderImage>(row: Row) => OrderImage | undefined;
  readonly close: () => Promise<void>;
}

const takeMs = 1_000;
/**
 * When resuming by GTID the server skips known transactions without sending anything: two empty polls
 * mean we have caught up.
 */
const emptyPollsMax = 2;

/** Opens the binlog at `position` and keeps the image of each order before its first change after it. */
export async function beforeImages(
  { binlog }: { readonly binlog: Source },
  position: Checkpoint,
  fencingToken: string,
): Promise<BeforeImages> {
  const found = await binlog.find(position);
  const stream = await binlog.open(found, fencingToken);
  const reading = transactionAssembler(found.from);
  const before = new Map<string, OrderImage | null>();
  const prepared = new Map<string, RowChange[]>();
  let received = false;

  function keepImage({ before: image, after }: RowChange): void {
    const id = (image ?? after)?.order_id ?? '';
    if (!before.has(id)) before.set(id, image);
  }

  async function readToEnd(): Promise<void> {
    const end = await binlog.end();
    for (let emptyPolls = received ? 0 : Number.NEGATIVE_INFINITY; ; ) {
      if (isAtOrAfter(reading.place(), end) && !reading.inTransaction()) return;
      const events = await stream.take(takeMs);
      emptyPolls = events.length ? 0 : emptyPolls + 1;
      received ||= events.length > 0;
      if (emptyPolls >= emptyPollsMax && found.by === 'gtids') return;
      for (const event of events) {
        reading.take(event);
        if (event.kind === 'xa committed') prepared.get(event.xid)?.forEach(keepImage);
      }
      for (const change of reading.all().changes)
        if (change.prepared === undefined) keepImage(change);
        else prepared.set(change.prepared, [...(prepared.get(change.prepared) ?? []), change]);
    }
  }

  return {
    readToEnd,
    imageOf: (row) => {
      const image = before.get(row.order_id);
      return image === null ? undefined : (image ?? row);
    },
    close: stream.close,
  };
}
