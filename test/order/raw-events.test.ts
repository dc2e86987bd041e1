import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  committedAtMs,
  databasesOf,
  eventTypes,
  hasChecksums,
  loadStatementOf,
  type RawEvent,
  rawEventOf,
} from '../../lib/order/decoding/raw-events.ts';

const bytes = (...parts: (number | string | readonly number[] | Buffer)[]): Buffer =>
  Buffer.concat(
    parts.map((part) => (typeof part === 'number' ? Buffer.alloc(part) : Buffer.from(part))),
  );

test('an event is what follows the mark and the header of its packet', () => {
  const packet = bytes('head', [0], [1, 2, 3, 4, 33], 14, 'body', 'tail');
  const end = packet.length - 4;
  expect(rawEventOf({ buffer: packet, offset: 4, end })).toEqual({
    type: 33,
    body: Buffer.from('body'),
  });
  const header = 4 + 1 + 19;
  expect(rawEventOf({ buffer: packet, offset: 4, end: header })?.body).toEqual(Buffer.alloc(0));
  expect(rawEventOf({ buffer: packet, offset: 4, end: header - 1 })).toBeUndefined();
});

test.each([0xff, 0xfe])('a packet that begins with %i is no event', (mark) => {
  const packet = bytes([mark], 30);
  expect(rawEventOf({ buffer: packet, offset: 0, end: packet.length })).toBeUndefined();
});

/** The time in microseconds as seven bytes, their highest bit saying that another time follows. */
function timeBytes(microseconds: number, isFollowed: boolean): Buffer {
  const time = Buffer.alloc(7);
  time.writeUIntLE(microseconds % 2 ** 48, 0, 6);
  time[6] = Math.floor(microseconds / 2 ** 48) | (isFollowed ? 0x80 : 0);
  return time;
}
const gtidBody = (...times: readonly Buffer[]) => bytes(25, [2], 16, ...times);
const committed = (body: Buffer, type: number = eventTypes.gtid) => committedAtMs({ type, body });

const now = 1_795_226_400_123_456;
const before = 1_795_226_300_999_999;

test.each([eventTypes.gtid, eventTypes.anonymous])(
  'an event of type %i says when its transaction was committed where it came about',
  (type) => {
    expect(committed(gtidBody(timeBytes(now, false)), type)).toBe(1_795_226_400_123);
    const copied = gtidBody(timeBytes(now, true), timeBytes(before, false));
    expect(committed(copied, type)).toBe(1_795_226_300_999);
    const unknown = gtidBody(timeBytes(now, true), timeBytes(0, false));
    expect(committed(unknown, type)).toBe(1_795_226_400_123);
  },
);

test('an event of another kind, or of a server before MySQL 8, says no time', () => {
  expect(committed(gtidBody(timeBytes(now, false)), eventTypes.query)).toBeUndefined();
  expect(committed(bytes(25, [1], 16, timeBytes(now, false)))).toBeUndefined();
  expect(committed(gtidBody(timeBytes(now, false).subarray(0, 6)))).toBeUndefined();
  expect(committed(gtidBody(timeBytes(0, false)))).toBeUndefined();
});

test('a time of any size is read to the millisecond', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1_000, max: 2 ** 53 - 1 }),
      fc.boolean(),
      (microseconds, copy) => {
        const time = timeBytes(microseconds, false);
        const body = copy ? gtidBody(timeBytes(now, true), time) : gtidBody(time);
        expect(committed(body)).toBe(Math.floor(microseconds / 1000));
      },
    ),
  );
});

test('the head of a file says whether its events end with checksums', () => {
  const head = (algorithm: number): RawEvent => ({
    type: eventTypes.format,
    body: bytes(50, [algorithm], 4),
  });
  expect([head(0), head(1), head(255)].map(hasChecksums)).toEqual([false, true, false]);
});

/** The status variables of a statement, each with its code before it. */
const variables = {
  flags: [0, 1, 2, 3, 4],
  sqlMode: [1, 12, 12, 12, 12, 12, 12, 12, 12],
  catalog: [6, 3, ...Buffer.from('std')],
  increments: [3, 0, 1, 0, 1],
  charset: [4, 8, 0, 8, 0, 8, 0],
  timeZone: [5, 6, ...Buffer.from('SYSTEM')],
  months: [7, 12, 12],
  database: [8, 45, 0],
  tableMap: [9, 12, 12, 12, 12, 12, 12, 12, 12],
  engine: [10, 12, 12, 12, 12],
  invoker: [11, 4, ...Buffer.from('root'), 9, ...Buffer.from('localhost')],
  microseconds: [13, 12, 12, 12],
  commitTimestamp: [16, 12],
  ddlXid: [17, 12, 12, 12, 12, 12, 12, 12, 12],
  collation: [18, 12, 12],
  primaryKey: [19, 12],
  encryption: [20, 12],
} as const;
const schemas = (...names: readonly string[]) => [
  ...[12, names.length, ...Buffer.from(names.map((name) => `${name}\0`).join(''))],
];
const query = (status: readonly number[], rest = 'order_db\0update x'): RawEvent => {
  const header = Buffer.alloc(13);
  header[8] = 'order_db'.length;
  header.writeUInt16LE(status.length, 11);
  return { type: eventTypes.query, body: bytes(header, status, rest) };
};

test.each(Object.entries(variables))('the schemas are listed after %s', (_, variable) => {
  expect(databasesOf(query([...variable, ...schemas('a', '订单')]))).toEqual(['a', '订单']);
  expect(databasesOf(query([...variable]))).toBeUndefined();
});

test('the schemas are listed after all other variables, in any order', () => {
  fc.assert(
    fc.property(
      fc.shuffledSubarray(Object.values(variables)),
      fc.array(fc.stringMatching(/^\w{1,9}$/), { maxLength: 5 }),
      (chosen, names) => {
        const status = [...chosen.flat(), ...schemas(...names)];
        expect(databasesOf(query(status))).toEqual(names);
      },
    ),
  );
});

test('the schemas are not listed where they are too many, cut off, or after what is not known', () => {
  const many = (count: number) => Array.from({ length: count }, (_, index) => `s${index}`);
  expect(databasesOf(query(schemas(...many(253))))).toEqual(many(253));
  expect(databasesOf(query([12, 254]))).toBeUndefined();
  expect(databasesOf(query(schemas(...many(254))))).toBeUndefined();
  expect(databasesOf(query([...schemas('a', ''), ...variables.months]))).toBeUndefined();
  for (const code of [2, 14, 15, 21, 255])
    expect(databasesOf(query([code, 12, 1, 97, 0, ...schemas('a')]))).toBeUndefined();
  expect(databasesOf(query([]))).toBeUndefined();
  expect(databasesOf(query([], `\u000c\u0001a\0`))).toBeUndefined();
});

function load(status: readonly number[], schema: string, sql: string, checksum: string): RawEvent {
  const header = Buffer.alloc(26);
  header[8] = Buffer.byteLength(schema);
  header.writeUInt16LE(status.length, 11);
  return {
    type: eventTypes.executeLoad,
    body: bytes(header, status, `${schema}\0${sql}${checksum}`),
  };
}

test('the statement of LOAD DATA stands after its variables and its schema', () => {
  const sql = 'load data infile "订单" into table t';
  const status = [...variables.charset, ...schemas('x')];
  const statement = { schema: 'order_db', sql, databases: ['x'] };
  expect(loadStatementOf(load(status, 'order_db', sql, 'abcd'), true)).toEqual(statement);
  expect(loadStatementOf(load(status, 'order_db', sql, ''), false)).toEqual(statement);
  expect(loadStatementOf(load([], '', sql, ''), false)).toEqual({
    schema: '',
    sql,
    databases: undefined,
  });
});
