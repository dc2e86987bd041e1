import type { Checkpoint } from '../checkpoints.ts';
import type { OrderImage, RowChange } from '../decoding/log-events.ts';
import { transactionAssembler } from '../decoding/transactions.ts';
import { isAtOrAfter } from './binlog-position.ts';
import type { Source } from './binlog-source.ts';

/** Orders as they were at a place in the binlog, though they may have changed since. */
export interface BeforeImages {
  /** Reads up to where the server stands now: after the rows that are then asked about were read. */
  readonly readOn: () => Promise<void>;
  /** The row as it was at the place; undefined for one that was not there. */
  readonly of: <Row extends OrderImage>(row: Row) => OrderImage | undefined;
  readonly close: () => Promise<void>;
}

const takeMs = 1_000;
/** By GTIDs the server passes over in silence what was read: so long a silence is the end. */
const silencesMax = 2;

/** Remembers each order that changed after the place, as it was before its first change. */
export async function beforeImages(
  { binlog }: { readonly binlog: Source },
  place: Checkpoint,
  epoch: string,
): Promise<BeforeImages> {
  const found = await binlog.find(place);
  const stream = await binlog.open(found, epoch);
  const reading = transactionAssembler(found.from);
  const before = new Map<string, OrderImage | null>();
  const prepared = new Map<string, RowChange[]>();
  let heard = false;

  function note({ before: image, after }: RowChange): void {
    const id = (image ?? after)?.order_id ?? '';
    if (!before.has(id)) before.set(id, image);
  }

  async function readOn(): Promise<void> {
    const end = await binlog.end();
    for (let silences = heard ? 0 : Number.NEGATIVE_INFINITY; ; ) {
      if (isAtOrAfter(reading.place(), end) && !reading.inTransaction()) return;
      const events = await stream.take(takeMs);
      silences = events.length ? 0 : silences + 1;
      heard ||= events.length > 0;
      if (silences >= silencesMax && found.by === 'gtids') return;
      for (const event of events) {
        reading.take(event);
        if (event.kind === 'xa committed') prepared.get(event.xid)?.forEach(note);
      }
      for (const change of reading.all().changes)
        if (change.prepared === undefined) note(change);
        else prepared.set(change.prepared, [...(prepared.get(change.prepared) ?? []), change]);
    }
  }

  return {
    readOn,
    of: (row) => {
      const earlier = before.get(row.order_id);
      return earlier === null ? undefined : (earlier ?? row);
    },
    close: stream.close,
  };
}
