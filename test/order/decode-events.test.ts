import type { AnyBinlogEvent } from '@vlasky/zongji';
import { expect, test } from 'vitest';
import { checkLoad, logEventsOf, shortStatus } from '../../lib/order/decoding/decode-events.ts';
import { noRoutes, type Routes } from '../../lib/order/decoding/indirect-writes.ts';
import { eventTypes } from '../../lib/order/decoding/raw-events.ts';

const routes = noRoutes();
const atMs = 1_795_226_400_000;
const howToSkip = 'Run order/repair-gap with "pass": true to skip it.';

/** An event as zongji hands it on. */
const eventOf = (name: string, fields: object = {}) =>
  ({
    nextPosition: 500,
    timestamp: atMs,
    getTypeName: () => name,
    ...fields,
  }) as unknown as AnyBinlogEvent;
const decode = (name: string, fields?: object, given: Routes = routes) =>
  logEventsOf(eventOf(name, fields), undefined, given);
const query = (sql: string, schema = 'order_db', given: Routes = routes) =>
  decode('Query', { query: sql, schema }, given);

const names = ['order_id', 'patient_id', 'nurse_id', 'status', 'changed_by'];
const row = { order_id: 7001, patient_id: 98, nurse_id: null, status: 'SENT', changed_by: 'nurse' };
const image = { ...row, order_id: '7001', patient_id: '98' };

/** A description of the order table, with other columns around those that are looked at. */
const columnNames = ['id', ...names, ...Array.from({ length: 8 }, (_, index) => `more_${index}`)];
const tableMap = (columns: readonly string[] = columnNames) => ({
  7: { tableName: 'order', columnSchemas: columns.map((COLUMN_NAME) => ({ COLUMN_NAME })) },
});
const rowsEvent = (name: string, rows: readonly unknown[], fields: object = {}) =>
  decode(name, { tableId: 7, tableMap: tableMap(), rows, ...fields });

test('a transaction begins with its GTID, its place and, where the server says it, its time', () => {
  expect(decode('Gtid', { gtid: 'uuid:1' })).toEqual([
    { kind: 'transaction', gtid: 'uuid:1', position: 500 },
  ]);
  expect(decode('Gtid')).toEqual([{ kind: 'transaction', gtid: null, position: 500 }]);
  expect(decode('AnonymousGtid', { gtid: 'uuid:1' })).toEqual([
    { kind: 'transaction', gtid: null, position: 500 },
  ]);
  const body = Buffer.alloc(49);
  body[25] = 2;
  body.writeUIntLE((atMs * 1000) % 2 ** 48, 42, 6);
  body[48] = Math.floor((atMs * 1000) / 2 ** 48);
  for (const name of ['Gtid', 'AnonymousGtid'])
    expect(logEventsOf(eventOf(name), { type: eventTypes.gtid, body }, routes)).toMatchObject([
      { kind: 'transaction', position: 500, committedAtMs: atMs },
    ]);
  expect(
    logEventsOf(eventOf('Gtid'), { type: eventTypes.gtid, body: Buffer.alloc(9) }, routes),
  ).toStrictEqual([{ kind: 'transaction', gtid: null, position: 500 }]);
});

test.each([
  ['Xid', {}, [{ kind: 'end', position: 500, atMs }]],
  ['XaPrepare', { onePhase: true }, [{ kind: 'xa one phase', position: 500, atMs }]],
  ['XaPrepare', { onePhase: false }, [{ kind: 'xa prepared', position: 500, atMs }]],
  ['Rotate', { binlogName: 'b.2', position: '4' }, [{ kind: 'file', file: 'b.2', position: 4 }]],
  ['PreviousGtids', { gtidSet: 'u:1-9' }, [{ kind: 'header', position: 500, gtids: 'u:1-9' }]],
  ['Unknown', {}, []],
])('an event %s of %j is %j', (name, fields, meaning) => {
  expect(decode(name, fields)).toEqual(meaning);
});

test.each([
  ['BEGIN', [{ kind: 'begin' }]],
  [' begin\n', [{ kind: 'begin' }]],
  ['COMMIT', [{ kind: 'end', position: 500, atMs }]],
  ['rollback', [{ kind: 'end', position: 500, atMs }]],
  ["XA START X'6f',X'',1", [{ kind: 'xa start', xid: "X'6f',X'',1" }]],
  ["XA END X'6f',X'',1", []],
  ["XA COMMIT X'6f',X'',1", [{ kind: 'xa committed', xid: "X'6f',X'',1", position: 500, atMs }]],
  ["xa rollback X'6f'\n,1", [{ kind: 'xa rolled back', xid: "X'6f'\n,1", position: 500, atMs }]],
  ['create table t (a int) START TRANSACTION', [{ kind: 'begin' }]],
  ['CREATE TEMPORARY TABLE t (a int) start transaction', [{ kind: 'begin' }]],
])('the statement %j is %j', (sql, meaning) => {
  expect(query(sql)).toEqual(meaning);
});

test.each([
  'create table t (a int)',
  'SAVEPOINT a',
  'BEGIN x',
  'x BEGIN',
  'COMMIT AND CHAIN',
  'x COMMIT',
  'ROLLBACK TO a',
  "XA PREPARE X'6f'",
  "x XA START X'6f'",
  'XA START',
  'create temporary view t as select 1 /* START TRANSACTION',
  "create table t (a int) comment 'START TRANSACTION'",
  'drop table t /* x */ START TRANSACTION',
  'create view table START TRANSACTION',
  'create table transaction',
  'create table `START TRANSACTION` like transaction',
  'alter table t START TRANSACTION',
  'create table t (a int) START TRANSACTION x',
  'create table t (a int) -- START TRANSACTION',
])('%j is a statement of its own', (sql) => {
  expect(query(`  ${sql} `, 'other')).toMatchObject([
    { kind: 'statement', schema: 'other', sql, position: 500, atMs },
  ]);
});

test('a statement that may have changed orders by a trigger is unclear', () => {
  const statement = { kind: 'statement', schema: 'order_db', position: 500, atMs };
  const sql = 'update t set a = 1';
  expect(query(sql)).toEqual([{ ...statement, sql, unclear: true }]);
  const seen = { ...routes, triggersSeen: true };
  expect(query(sql, 'order_db', seen)).toEqual([{ ...statement, sql }]);
});

const changed = (sql: string) =>
  `order_db.order was changed by a statement instead of rows: no session may set binlog_format. ${howToSkip} It was: ${sql}`;

test('a statement that changed orders cannot be read', () => {
  const sql = 'update order_db.order set status = 1';
  expect(() => query(` ${sql} `, 'x')).toThrow(new Error(changed(sql)));
  const long = `${sql} where order_id in (${'1,'.repeat(200)}1)`;
  expect(() => query(long, 'x')).toThrow(new Error(changed(long.slice(0, 200))));
});

test('the schemas that a statement touched are those of the event as it was sent', () => {
  const header = Buffer.alloc(13);
  const status = Buffer.from('\u000c\u0001elsewhere\0');
  header.writeUInt16LE(status.length, 11);
  const raw = { type: eventTypes.query, body: Buffer.concat([header, status]) };
  const event = eventOf('Query', { query: 'update t set a = 1', schema: 'order_db' });
  expect(logEventsOf(event, raw, routes)).toEqual([
    { kind: 'statement', schema: 'order_db', sql: 'update t set a = 1', position: 500, atMs },
  ]);
});

test('a LOAD DATA that changes orders cannot be read, another can', () => {
  const load = (sql: string) => {
    const header = Buffer.alloc(26);
    return {
      type: eventTypes.executeLoad,
      body: Buffer.concat([header, Buffer.from(`\0${sql}sums`)]),
    };
  };
  expect(
    checkLoad(load('load data infile "x" into table order_db.t'), true, routes),
  ).toBeUndefined();
  const sql = 'load data infile "x" into table order_db.order';
  expect(() => checkLoad(load(sql), true, routes)).toThrow(new Error(changed(sql)));
  expect(checkLoad(load(sql), false, routes)).toBeUndefined(); // Its name ends with the checksum then.
});

test('rows are changes from before to after, at the time of their event', () => {
  expect(rowsEvent('WriteRows', [row, { ...row, order_id: 2n }])).toEqual([
    {
      kind: 'rows',
      changes: [
        { before: null, after: image, atMs },
        { before: null, after: { ...image, order_id: '2' }, atMs },
      ],
    },
  ]);
  expect(rowsEvent('DeleteRows', [row])).toEqual([
    { kind: 'rows', changes: [{ before: image, after: null, atMs }] },
  ]);
  const after = { ...row, status: 'DONE', nurse_id: 55 };
  expect(rowsEvent('UpdateRows', [{ before: row, after }])).toEqual([
    {
      kind: 'rows',
      changes: [{ before: image, after: { ...image, status: 'DONE', nurse_id: '55' }, atMs }],
    },
  ]);
});

test('a status or actor that is null is an empty one, a patient or nurse that is null is nobody', () => {
  const nulls = { order_id: '1', patient_id: null, nurse_id: null, status: null, changed_by: null };
  const { changed_by: _, ...without } = nulls;
  const after = { order_id: '1', patient_id: null, nurse_id: null, status: '', changed_by: '' };
  for (const one of [nulls, without])
    expect(rowsEvent('WriteRows', [one])).toEqual([
      { kind: 'rows', changes: [{ before: null, after, atMs }] },
    ]);
});

test.each(names)('%s of another type than a text or a number cannot be read', (name) => {
  for (const value of [true, new Date(0), Buffer.from('x')])
    expect(() => rowsEvent('WriteRows', [{ ...row, [name]: value }])).toThrow(
      new Error(`order.${name} has an unexpected type: ${typeof value}.`),
    );
});

test('a status is kept to 255 characters', () => {
  expect(shortStatus('x'.repeat(255))).toBe('x'.repeat(255));
  expect(shortStatus('😀'.repeat(256))).toBe('😀'.repeat(255));
  const [event] = rowsEvent('WriteRows', [{ ...row, status: 'x'.repeat(256) }]);
  expect(event).toMatchObject({ changes: [{ after: { status: 'x'.repeat(255) } }] });
});

test.each(['WriteRows', 'UpdateRows', 'DeleteRows'])(
  '%s without a description of their columns cannot be read',
  (name) => {
    expect(() => rowsEvent(name, [], { tableMap: {} })).toThrow(
      new Error('The binlog has rows of order_db.order without a description of its columns.'),
    );
  },
);

/** A bit for each column; all but the named one are there. */
function bitmapWithout(name: string): Buffer {
  const bitmap = Buffer.alloc(2, 0xff);
  const index = columnNames.indexOf(name);
  bitmap[index >> 3] = (bitmap[index >> 3] ?? 0) & ~(1 << (index & 7));
  return bitmap;
}

test.each(names)('a row image that does not hold %s cannot be read', (name) => {
  const error = new Error(
    `The binlog has a change of order_db.order without ${name}: set binlog_row_image=FULL.`,
  );
  for (const bitmap of ['columns_present_bitmap', 'columns_present_bitmap2'])
    expect(() => rowsEvent('WriteRows', [], { [bitmap]: bitmapWithout(name) })).toThrow(error);
  expect(() => rowsEvent('WriteRows', [], { columns_present_bitmap: Buffer.alloc(0) })).toThrow(
    'without order_id',
  );
});

test('columns that are not looked at may be absent, and any column may be in the second byte', () => {
  const others = Buffer.from([0b0011_1110, 0]);
  expect(rowsEvent('WriteRows', [], { columns_present_bitmap: others })).toHaveLength(1);
  const columns = ['a', 'b', 'c', 'd', 'e', ...names];
  const map = { tableMap: tableMap(columns) };
  const present = Buffer.from([0b1110_0000, 0b0000_0011]);
  expect(rowsEvent('WriteRows', [], { ...map, columns_present_bitmap: present })).toHaveLength(1);
  const absent = Buffer.from([0b1111_1111, 0b0000_0001]);
  expect(() => rowsEvent('WriteRows', [], { ...map, columns_present_bitmap: absent })).toThrow(
    'without changed_by',
  );
});

const describing = (fields: object = {}) => {
  const columns: { name: string; charset: string | null }[] = columnNames.map((name) => ({
    name,
    charset: name === 'status' ? 'latin1' : null,
  }));
  const event = { tableId: 7, columnNames, tableMap: { 7: { columns } } };
  return { columns, event: { ...event, hasSelfDescribingMetadata: () => true, ...fields } };
};

test('the description of the order table names its columns; texts are read as they are', () => {
  const { columns, event } = describing();
  expect(decode('TableMap', event)).toEqual([]);
  expect(columns.filter(({ charset }) => charset)).toEqual([
    { name: 'status', charset: 'utf8mb4' },
  ]);
  expect(decode('TableMap', { ...event, tableMap: { 7: {} } })).toEqual([]);
});

test('a description without names of columns cannot be read', () => {
  const { event } = describing({ hasSelfDescribingMetadata: () => false });
  expect(() => decode('TableMap', event)).toThrow(
    new Error(
      `The binlog does not name the columns of order_db.order: set binlog_row_metadata=FULL. ${howToSkip}`,
    ),
  );
});

test('a column that is not there cannot be read', () => {
  const missing = (which: string) =>
    new Error(`order_db.order has no column ${which}: dropped or renamed upstream. ${howToSkip}`);
  const without = (...gone: string[]) => columnNames.filter((name) => !gone.includes(name));
  const tell = (fields: object) => () => decode('TableMap', describing(fields).event);
  expect(tell({ columnNames: without('status') })).toThrow(missing('status'));
  expect(tell({ columnNames: without('order_id', 'changed_by') })).toThrow(
    missing('order_id, changed_by'),
  );
  expect(tell({ columnNames: undefined })).toThrow(missing(names.join(', ')));
  expect(tell({ tableMap: {} })).toThrow(missing(''));
});

test.each(['ucs2', 'utf16', 'utf16le', 'utf32'])(
  'a column that we look at in the charset %s cannot be read, another one can',
  (charset) => {
    const withCharset = (name: string) =>
      describing({ tableMap: { 7: { columns: [{ name, charset }] } } }).event;
    for (const name of names)
      expect(() => decode('TableMap', withCharset(name))).toThrow(
        new Error(
          `order_db.order.${name} has the charset ${charset}: the reader needs one that contains ASCII.`,
        ),
      );
    expect(decode('TableMap', withCharset('more_1'))).toEqual([]);
  },
);

test.each(['utf16x', 'xutf16', 'utf8mb4', 'gbk'])(
  'a column in the charset %s can be read',
  (charset) => {
    const columns = [{ name: 'status', charset }];
    expect(decode('TableMap', describing({ tableMap: { 7: { columns } } }).event)).toEqual([]);
  },
);
