import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Checkpoint } from '../../lib/order/checkpoints.ts';
import { type Batch, transactionAssembler } from '../../lib/order/decoding/transactions.ts';
import {
  beginning,
  recordedOf,
  sentFrom,
  source,
  type Writer,
  type Written,
} from '../support/log-events.ts';

const statuses = ['PENDING_ACCEPT', 'PENDING_SERVICE', 'IN_SERVICE', 'REFUNDING'];
const transactions: fc.Arbitrary<Written[]> = fc.array(
  fc.record({
    rows: fc.array(fc.tuple(fc.integer({ min: 1, max: 4 }), fc.constantFrom(...statuses)), {
      maxLength: 9,
    }),
    // Of XA only what is committed at once or not at all: the rest needs the table of prepared rows.
    how: fc.constantFrom('commit', 'commit', 'commit', 'ddl', 'xa rolled back'),
    rotates: fc.boolean(),
  }),
  { maxLength: 8 },
);

const placesOf = (batches: readonly Batch[]) =>
  batches.flatMap(({ changes }) =>
    changes.filter(({ prepared }) => prepared === undefined).map(({ place }) => place),
  );

const anonymous: Writer = { ...source, gtids: false, firstFile: 1 };

/** All in one go. */
function readWhole(written: readonly Written[], writer: Writer): Batch[] {
  const reading = transactionAssembler(beginning(writer));
  for (const event of sentFrom(recordedOf(written, writer), beginning(writer))) reading.take(event);
  const batch = reading.whole();
  return batch ? [batch] : [];
}

test('however often the reader dies, each change is written once, in order, in the same place', () => {
  fc.assert(
    fc.property(
      transactions,
      fc.constantFrom(source, anonymous),
      fc.array(fc.record({ events: fc.integer({ min: 0, max: 12 }), all: fc.boolean() }), {
        maxLength: 20,
      }),
      (written, writer, deaths) => {
        const recorded = recordedOf(written, writer);
        const batches: Batch[] = [];
        let from: Checkpoint = beginning(writer);
        // Each reader takes some events, writes what it has, or dies without having written it.
        for (const [index, { events, all }] of deaths.entries()) {
          const reading = transactionAssembler(from);
          for (const event of sentFrom(recorded, from).slice(0, events)) reading.take(event);
          const batch = all && reading.progressed() ? reading.all() : reading.whole();
          if (!batch || index % 3 === 2) continue;
          batches.push(batch);
          from = batch.checkpoint;
        }
        const last = transactionAssembler(from);
        for (const event of sentFrom(recorded, from)) last.take(event);
        batches.push(last.all());
        expect(placesOf(batches)).toEqual(placesOf(readWhole(written, writer)));
        expect(batches.at(-1)?.checkpoint).toMatchObject({ open: null });
      },
    ),
    { numRuns: 500 },
  );
});

const [one, two] = [
  { rows: [[1, 'PENDING_ACCEPT']], how: 'commit' },
  { rows: Array.from({ length: 7 }, (_, order) => [order, 'REFUNDING']), how: 'commit' },
] as const satisfies Written[];

test('the place moves at the end of a transaction only', () => {
  const recorded = recordedOf([one, two], source);
  const reading = transactionAssembler(beginning(source));
  for (const event of recorded) {
    const { open, position, gtidSet } = reading.all().checkpoint;
    const ends = [
      beginning(source).position,
      ...recorded.flatMap((each) => (each.kind === 'end' ? [each.position] : [])),
    ];
    expect(ends).toContain(position);
    expect(gtidSet?.includes('1-2')).toBe(false);
    if (!reading.inTransaction()) expect(open).toBe(null);
    reading.take(event);
  }
  expect(reading.all().checkpoint.gtidSet).toMatch(/:1-2$/);
});

test('of a transaction that another server sends first nothing is passed over', () => {
  const recorded = recordedOf([two, one], source);
  const from = { ...beginning(source), open: { name: 'another:7', rows: 5 } };
  const reading = transactionAssembler(from);
  for (const event of recorded) reading.take(event);
  expect(reading.whole()?.changes).toHaveLength(8);
});

test('while what was written is passed over, the place stays where it was', () => {
  const recorded = recordedOf([two], source);
  const [{ gtid } = { gtid: '' }] = recorded.flatMap((event) =>
    event.kind === 'transaction' ? [event] : [],
  );
  const reading = transactionAssembler({
    ...beginning(source),
    open: { name: String(gtid), rows: 5 },
  });
  for (const event of recorded.slice(0, 3)) reading.take(event);
  expect(reading.all()).toMatchObject({ changes: [], checkpoint: { open: { rows: 5 } } });
});

test('rows of a prepared transaction are marked, and those of one rolled back are gone', () => {
  const prepared: Written = { rows: two.rows, how: 'xa rolled back' };
  const recorded = recordedOf([prepared], source);
  const reading = transactionAssembler(beginning(source));
  for (const event of recorded.slice(0, -2)) reading.take(event);
  const first = transactionAssembler(beginning(source));
  for (const event of recorded) first.take(event);
  expect(first.whole()).toMatchObject({ changes: [], finished: ["X'1',X'',1", "X'1',X'',1"] });
  expect(new Set(reading.whole()?.changes.map((change) => change.prepared))).toEqual(
    new Set(["X'1',X'',1"]),
  );
});

test('without GTIDs a place names server and file, and rows outside a transaction are refused', () => {
  const reading = transactionAssembler(beginning(anonymous));
  for (const event of recordedOf([{ ...one, rotates: true }, one], anonymous)) reading.take(event);
  expect(reading.whole()?.changes.map(({ place }) => place)).toEqual([
    '11111111-1111-1111-1111-111111111111:binlog.000001:207:1',
    '11111111-1111-1111-1111-111111111111:binlog.000002:207:1',
  ]);
  expect(() => reading.take({ kind: 'rows', changes: [] })).toThrow(/outside a transaction/);
});
