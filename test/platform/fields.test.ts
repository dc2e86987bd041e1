import fc from 'fast-check';
import { expect, test } from 'vitest';
import type * as z from 'zod';
import {
  AnyId,
  Day,
  IdText,
  idOf,
  Time,
  WallTimeText,
  Who,
  Why,
} from '../../lib/platform/fields.ts';

const messagesOf = (schema: z.ZodType, value: unknown): readonly string[] =>
  schema.safeParse(value).error?.issues.map(({ message }) => message) ?? [];

test.each([
  ['a person', Who, 100],
  ['a reason', Why, 500],
])('%s is trimmed, and has at least one character and no more than the column', (_, field, max) => {
  expect(field.parse('  lena\n')).toBe('lena');
  expect(field.parse('x'.repeat(max))).toBe('x'.repeat(max));
  expect(field.safeParse('x'.repeat(max + 1)).success).toBe(false);
  expect(field.safeParse(' \t').success).toBe(false);
  expect(field.description).toMatch(/for the audit trail$/);
});

test.each(['1970-01-01', '1979-06-30', '1980-01-01', '1999-12-31', '2000-02-29', '9999-12-31'])(
  '%s is a day',
  (day) => {
    expect(Day.parse(day)).toBe(day);
  },
);

test.each(['1969-12-31', '1899-12-31', '1070-01-01', '0999-12-31', '0000-01-01'])(
  '%s is of another year than every reader of a time knows',
  (day) => {
    expect(messagesOf(Day, day)).toEqual(['Expected a day from 1970 to 9999']);
  },
);

test.each(['2026-02-29', '2026-11-20 ', '20260-11-20', '12026-11-20', 'today'])(
  '%j is no day that exists',
  (day) => {
    expect(messagesOf(Day, day)).toContain('Expected a day that exists, such as 2026-11-20');
  },
);

test.each([
  ['2026-11-21 08:00:00', '2026-11-21 08:00:00'],
  ['2026-11-21T08:00:00+08:00', '2026-11-21 08:00:00'],
  ['2026-11-20T16:00:00Z', '2026-11-21 00:00:00'],
  ['2026-11-20T23:59:59.999-05:00', '2026-11-21 12:59:59'],
  ['1970-01-01 00:00:00', '1970-01-01 00:00:00'],
  ['1969-12-31T16:00:00Z', '1970-01-01 00:00:00'],
  ['9999-12-31 23:59:59', '9999-12-31 23:59:59'],
])('the time %j is %j in Shanghai', (text, time) => {
  expect(Time.parse(text)).toBe(time);
});

test.each([
  '2026-02-29 08:00:00',
  '2026-11-21 24:00:00',
  '2026-11-21 08:60:00',
  '2026-11-21T08:00:00',
  '2026-11-21 08:00',
  '2026-11-21',
  '2026-11-21 08:00:00.5',
  ' 2026-11-21 08:00:00',
  '1969-12-31 23:59:59',
  '9999-12-31T16:00:00Z',
  '+010000-01-01 00:00',
  '+275760-09-13 08:00',
  '-000001-01-01 00:00',
  'tomorrow',
  '',
])('%j is no time that exists', (text) => {
  expect(messagesOf(Time, text)).toEqual([
    'Expected a time that exists, such as 2026-11-21 08:00:00 (in Shanghai), or one with its zone, such as 2026-11-21T08:00:00+08:00',
  ]);
});

test('a time that does not exist is an issue of our own', () => {
  expect(Time.safeParse('now').error?.issues).toMatchObject([{ code: 'custom', path: [] }]);
});

test('an instant has one wall time, whatever zone it is written in', () => {
  const instants = fc.date({
    min: new Date('1970-01-01T00:00:00Z'),
    max: new Date('9999-12-30T00:00:00Z'),
    noInvalidDate: true,
  });
  fc.assert(
    fc.property(instants, fc.integer({ min: -11, max: 11 }), (instant, hours) => {
      const there = new Date(instant.getTime() + hours * 3_600_000).toISOString().slice(0, 19);
      const sign = hours < 0 ? '-' : '+';
      const zone = `${sign}${String(Math.abs(hours)).padStart(2, '0')}:00`;
      if (there.startsWith('19') || there.startsWith('2'))
        expect(Time.parse(`${there}${zone}`)).toBe(
          Time.parse(`${instant.toISOString().slice(0, 19)}Z`),
        );
    }),
  );
});

test.each([
  '2026-11-21',
  '2026-11-21 08:00:00',
  '2026-11-21 08:00:00.1',
  '2026-11-21 08:00:00.123456',
  '1970-01-01',
])('%j is a wall time of a database', (text) => {
  expect(WallTimeText.parse(text)).toBe(text);
});

test.each([
  '2026-02-29',
  '2026-11-21.5',
  '2026-11-21 08:00',
  '2026-11-21 08:00:0.5',
  '2026-11-21 08:00:00.',
  '2026-11-21 08:00:00.1234567',
  '2026-11-21 08:00:00.5x',
  '2026-11-21 08:00.5:00',
  '2026-11-21 08:00:00.5.5',
  '2026-11-21 08:00:00 00:00:00',
  '2026-11-21T08:00:00',
  '1969-12-31',
  '0000-00-00',
  '',
])('%j is no wall time of a database', (text) => {
  expect(messagesOf(WallTimeText, text)).toEqual(['Expected a time such as 2026-11-21 08:00:00']);
});

test('the text of an id is a positive BIGINT, and another is told what was expected', () => {
  expect(idOf('an order').parse('7001')).toBe('7001');
  expect(messagesOf(idOf('an order'), '0')).toEqual(['Expected the id of an order, as text']);
  expect(messagesOf(IdText('Expected a row'), '-1')).toEqual(['Expected a row']);
});

const anyId = (text: string) => AnyId.safeParse(text).success;

test('any id is a BIGINT, signed or unsigned', () => {
  for (const id of ['0', '-9223372036854775808', '18446744073709551615', '-1', '-0'])
    expect([id, anyId(id)]).toEqual([id, true]);
  for (const text of ['', '-', '1x', 'x1', '1 ', ' 1', '--1', '1-', '+1', '1.0', '0x1'])
    expect([text, anyId(text)]).toEqual([text, false]);
  for (const text of ['-9223372036854775809', '18446744073709551616', '0'.repeat(21)])
    expect([text, anyId(text)]).toEqual([text, false]);
  expect(messagesOf(AnyId, 'x')).toEqual(['Expected an id, as text']);
});

test('any whole number of 20 digits is any id just where a column can hold it', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(10n ** 20n) + 1n, max: 10n ** 20n - 1n }), (id) => {
      expect(anyId(String(id))).toBe(id >= -(2n ** 63n) && id < 2n ** 64n);
    }),
  );
});
