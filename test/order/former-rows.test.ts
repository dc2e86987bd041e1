import { expect, test } from 'vitest';
import type { Checkpoint } from '../../lib/order/checkpoints.ts';
import type { OrderImage, RowChange } from '../../lib/order/decoding/log-events.ts';
import { transactionAssembler } from '../../lib/order/decoding/transactions.ts';

const start: Checkpoint = {
  serverUuid: 'server',
  gtidSet: null,
  file: 'binlog.000001',
  position: 157,
  open: null,
  atMs: null,
};
/** The name that a transaction without a GTID has at this place. */
const name = 'server:binlog.000001:200';

const image = (order_id: string, status: string): OrderImage => ({
  order_id,
  patient_id: '98',
  nurse_id: '55',
  status,
  changed_by: 'patient',
});
const insert = (id: string, status = 'NEW'): RowChange => ({
  before: null,
  after: image(id, status),
  atMs: 0,
});
const remove = (id: string, status = 'OLD'): RowChange => ({
  before: image(id, status),
  after: null,
  atMs: 0,
});
const update = (from: string, to: string, status = 'OLD'): RowChange => ({
  before: image(from, status),
  after: image(to, 'NEW'),
  atMs: 0,
});

/** The status of the former row of each change of one transaction. */
function formerStatuses(changes: readonly RowChange[], open: Checkpoint['open'] = null) {
  const reading = transactionAssembler({ ...start, open });
  reading.take({ kind: 'transaction', gtid: null, position: 200 });
  reading.take({ kind: 'rows', changes });
  return reading.all().changes.map((change) => change.former?.status);
}

const removedUpTo = (max: number) =>
  Array.from({ length: max }, (_, index) => remove(String(index + 1)));

test('a row that is inserted with the id of a deleted one has that as its former row', () => {
  expect(formerStatuses([remove('1'), insert('1')])).toEqual([undefined, 'OLD']);
  expect(formerStatuses([remove('1'), insert('2')])).toEqual([undefined, undefined]);
});

test('a row that is given the id of one that left it has that as its former row', () => {
  expect(formerStatuses([update('1', '2'), insert('1')])).toEqual([undefined, 'OLD']);
  expect(formerStatuses([remove('1'), update('3', '1', 'ELSE')])).toEqual([undefined, 'OLD']);
});

test('a row that keeps its id has no former row', () => {
  expect(formerStatuses([update('1', '1'), update('1', '1')])).toEqual([undefined, undefined]);
  expect(formerStatuses([insert('1')])).toEqual([undefined]);
});

test('a change without a former row names none', () => {
  const reading = transactionAssembler(start);
  reading.take({ kind: 'transaction', gtid: null, position: 200 });
  reading.take({ kind: 'rows', changes: [insert('1')] });
  expect(Object.keys(reading.all().changes[0] ?? {})).not.toContain('former');
});

test('a deleted row that was written before the reading was resumed is a former row', () => {
  expect(formerStatuses([remove('1'), insert('1')], { name, rows: 1 })).toEqual(['OLD']);
});

test('of a large transaction the last 100 deleted rows are known', () => {
  expect(formerStatuses([...removedUpTo(100), insert('1')]).at(-1)).toBe('OLD');
  expect(formerStatuses([...removedUpTo(101), insert('1')]).at(-1)).toBeUndefined();
  expect(formerStatuses([...removedUpTo(101), insert('2')]).at(-1)).toBe('OLD');
});

test('a row that is deleted again is the last of them', () => {
  const again = [remove('1'), insert('1'), ...removedUpTo(100).slice(1), remove('1', 'AGAIN')];
  expect(formerStatuses([...again, remove('101'), insert('1')]).at(-1)).toBe('AGAIN');
});
