import { expect, test } from 'vitest';
import type { Checkpoint } from '../../lib/order/checkpoints.ts';
import type { LogEvent, RowChange } from '../../lib/order/decoding/log-events.ts';
import { type Reading, transactionAssembler } from '../../lib/order/decoding/transactions.ts';

const uuid = '11111111-1111-1111-1111-111111111111';
const start: Checkpoint = {
  serverUuid: uuid,
  gtidSet: '',
  file: 'binlog.000001',
  position: 157,
  open: null,
  atMs: null,
};

function read(events: readonly LogEvent[], from: Checkpoint = start): Reading {
  const reading = transactionAssembler(from);
  for (const event of events) reading.take(event);
  return reading;
}

const transaction = (number: number, committedAtMs?: number): LogEvent => ({
  kind: 'transaction',
  gtid: `${uuid}:${number}`,
  position: 200,
  ...(committedAtMs !== undefined && { committedAtMs }),
});
const anonymous: LogEvent = { kind: 'transaction', gtid: null, position: 200 };
const end = (position: number): LogEvent => ({ kind: 'end', position, atMs: 5 });
const statement: LogEvent = { kind: 'statement', schema: '', sql: '', position: 300, atMs: 5 };
const begin: LogEvent = { kind: 'begin' };

const image = (order_id: string) => ({
  order_id,
  patient_id: '98',
  nurse_id: '55',
  status: 'PAYING',
  changed_by: 'patient',
});
const made = (id: string): RowChange => ({ before: null, after: image(id), atMs: 3 });
const rows = (...ids: string[]): LogEvent => ({ kind: 'rows', changes: ids.map(made) });

const xid = "X'31',X'',1";
const xaStart: LogEvent = { kind: 'xa start', xid };
const xaPrepared: LogEvent = { kind: 'xa prepared', position: 300, atMs: 5 };
const xaOnePhase: LogEvent = { kind: 'xa one phase', position: 300, atMs: 5 };
const xaCommitted: LogEvent = { kind: 'xa committed', xid, position: 400, atMs: 6 };
const xaRolledBack: LogEvent = { kind: 'xa rolled back', xid, position: 400, atMs: 6 };

const placesIn = (reading: Reading) => reading.whole()?.changes.map(({ place }) => place);

test('a transaction gives its rows with their places, its end the checkpoint', () => {
  const reading = read([transaction(1), begin, rows('1', '2'), end(300)]);
  expect(reading.whole()).toEqual({
    changes: [
      { ...made('1'), place: `${uuid}:1:1` },
      { ...made('2'), place: `${uuid}:1:2` },
    ],
    finished: [],
    prepared: [],
    missed: [],
    checkpoint: { ...start, gtidSet: `${uuid}:1`, position: 300, atMs: 5 },
  });
});

test('what was handed over once is not handed over again', () => {
  const events = [transaction(1), xaStart, rows('1'), xaPrepared, transaction(2)];
  const reading = read([...events, { ...xaCommitted, known: false }]);
  expect(reading.whole()).toMatchObject({ finished: [xid, xid], missed: [{ xid }] });
  expect(reading.rows()).toBe(0);
  expect(reading.whole()).toBeUndefined();
  reading.take(transaction(3));
  reading.take(end(500));
  expect(reading.whole()).toEqual({
    changes: [],
    finished: [],
    prepared: [],
    missed: [],
    checkpoint: { ...start, gtidSet: `${uuid}:1-3`, position: 500, atMs: 5 },
  });
});

test('rows of the open transaction wait for its end, and are counted', () => {
  const reading = read([transaction(1), rows('1'), end(300), transaction(2), rows('2', '3')]);
  expect(reading.rows()).toBe(3);
  expect(reading.inTransaction()).toBe(true);
  expect(placesIn(reading)).toEqual([`${uuid}:1:1`]);
  expect(reading.rows()).toBe(2);
  reading.take(end(400));
  expect(reading.inTransaction()).toBe(false);
  expect(placesIn(reading)).toEqual([`${uuid}:2:1`, `${uuid}:2:2`]);
});

test('a resumed transaction passes over the rows that are written, and then progresses', () => {
  const open = { name: `${uuid}:1`, rows: 2 };
  const reading = read([transaction(1), rows('1', '2')], { ...start, open });
  expect(reading.progressed()).toBe(false);
  reading.take(rows('3'));
  expect(reading.progressed()).toBe(true);
  expect(reading.all()).toMatchObject({
    changes: [{ place: `${uuid}:1:3` }],
    checkpoint: { position: 157, open: { name: `${uuid}:1`, rows: 3 } },
  });
  expect(transactionAssembler(start).progressed()).toBe(false);
});

test('a row and a checkpoint have the time of the commit if the transaction has one', () => {
  const reading = read([transaction(1, 7), rows('1'), end(300)]);
  expect(reading.whole()).toMatchObject({ changes: [{ atMs: 7 }], checkpoint: { atMs: 7 } });
});

test('a statement is a transaction of its own unless one has begun', () => {
  expect(read([transaction(1), statement]).inTransaction()).toBe(false);
  expect(read([transaction(1), begin, statement]).inTransaction()).toBe(true);
  expect(read([transaction(1), xaStart, statement]).inTransaction()).toBe(true);
  expect(read([transaction(1), begin, end(300)]).inTransaction()).toBe(false);
  expect(read([statement]).whole()?.checkpoint).toEqual({ ...start, position: 300, atMs: 5 });
});

test.each([
  ['rows', rows('1')],
  ['BEGIN', begin],
  ['XA START', xaStart],
  ['XA PREPARE', xaPrepared],
  ['XA COMMIT', xaOnePhase],
  ['XA COMMIT', { ...xaCommitted, known: false }],
] as const)('%s outside a transaction is refused', (what, event) => {
  const named = `The binlog has ${what} outside a transaction after binlog.000001:157:`;
  expect(() => read([event])).toThrow(named);
});

test('a place moves when a file begins or the server names a later place of the same file', () => {
  const at = (file: string, position: number) =>
    read([{ kind: 'file', file: `binlog.00000${file}`, position }]);
  expect(at('1', 157).whole()).toBeUndefined();
  expect(at('1', 100).whole()).toBeUndefined();
  expect(at('1', 158).whole()?.checkpoint).toEqual({ ...start, position: 158 });
  expect(at('2', 4).whole()?.checkpoint).toEqual({ ...start, file: 'binlog.000002', position: 4 });
  expect(at('2', 4).place()).toEqual({ file: 'binlog.000002', position: 4 });
  const same: LogEvent = { kind: 'file', file: 'binlog.000001', position: 300 };
  expect(read([transaction(1), end(300), same]).whole()?.checkpoint.position).toBe(300);
});

test('a header moves the place forward only, and not within a transaction', () => {
  const header = (position: number): LogEvent => ({ kind: 'header', position, gtids: '' });
  expect(read([header(200)]).place().position).toBe(200);
  expect(read([header(100)]).place().position).toBe(157);
  expect(read([transaction(1), header(200)]).place().position).toBe(157);
  expect(read([transaction(1), header(200)]).inTransaction()).toBe(true);
});

test('a checkpoint without GTIDs has all of them from the first transaction that has one', () => {
  const without = { ...start, gtidSet: null };
  const header: LogEvent = { kind: 'header', position: 157, gtids: `${uuid}:1-4` };
  const gtids = (...events: LogEvent[]) => read(events, without).whole()?.checkpoint.gtidSet;
  expect(gtids(header, transaction(5), end(300))).toBe(`${uuid}:1-5`);
  expect(gtids(header, anonymous, end(300))).toBe(null);
  expect(gtids(transaction(5), end(300))).toBe(null);
});

test('an anonymous transaction leaves the GTIDs as they are', () => {
  const from = { ...start, gtidSet: `${uuid}:1-4` };
  expect(read([anonymous, end(300)], from).whole()?.checkpoint.gtidSet).toBe(`${uuid}:1-4`);
});

test('an XA transaction is open under its name, then prepared until the next batch', () => {
  const reading = read([transaction(1), xaStart, rows('1')]);
  expect(reading.xid()).toBe(xid);
  expect(reading.isPrepared(xid)).toBe(false);
  reading.take(xaPrepared);
  expect(reading.xid()).toBeUndefined();
  expect(reading.isPrepared(xid)).toBe(true);
  expect(reading.whole()).toMatchObject({
    changes: [{ ...made('1'), place: `${uuid}:1:1`, prepared: xid }],
    finished: [xid],
    prepared: [xid],
    missed: [],
  });
  expect(reading.isPrepared(xid)).toBe(false);
});

test('a row that has a place is committed, and not prepared by the transaction that holds it', () => {
  const placed: RowChange = { ...made('1'), place: 'there:1' };
  const reading = read([
    ...[transaction(1), xaStart, { kind: 'rows', changes: [placed] } as const],
    xaPrepared,
  ]);
  expect(reading.whole()?.changes).toEqual([placed]);
});

test('an XA transaction that is committed at once is finished at its start and its end', () => {
  const events = [transaction(1), xaStart, rows('1'), xaOnePhase];
  expect(read(events).whole()).toMatchObject({ finished: [xid, xid], prepared: [] });
  const open = { name: `${uuid}:1`, rows: 1 };
  expect(read(events, { ...start, open }).whole()).toMatchObject({ finished: [xid] });
});

test('the commit of an XA transaction finishes it, and is missed only if it was not known', () => {
  const known = [transaction(1), xaStart, xaPrepared, transaction(2), xaCommitted];
  expect(read(known).whole()).toMatchObject({ finished: [xid, xid], prepared: [], missed: [] });
  expect(read([transaction(2, 7), { ...xaCommitted, known: true }]).whole()?.missed).toEqual([]);
  expect(read([transaction(2, 7), { ...xaCommitted, known: false }]).whole()).toMatchObject({
    finished: [xid],
    missed: [{ place: `${uuid}:2`, xid, atMs: 7 }],
  });
});

test('the rollback of an XA transaction takes its own rows back, and no others', () => {
  const prepared = [transaction(1), xaStart, rows('1'), xaPrepared];
  const others = [transaction(2), rows('2'), end(350)];
  const reading = read([...prepared, ...others, transaction(3), xaRolledBack]);
  expect(reading.whole()).toMatchObject({
    changes: [{ after: { order_id: '2' } }],
    finished: [xid, xid],
    prepared: [],
    missed: [],
  });
});

test.each([
  ['prepared', xaPrepared, { finished: [], prepared: [''] }],
  ['committed at once', xaOnePhase, { finished: [''], prepared: [] }],
] as const)('an XA transaction that is %s without a start has no name', (_, event, ends) => {
  expect(read([transaction(1), event]).whole()).toMatchObject(ends);
});
