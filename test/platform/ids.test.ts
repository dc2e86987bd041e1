import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Id, idMax, importedIdMax, isId, jsonId, numberedIdMax } from '../../lib/platform/ids.ts';

test('the highest ids are that of a BIGINT, and with room above them those of numbered rows', () => {
  expect(idMax).toBe('9223372036854775807');
  expect(numberedIdMax).toBe('1000000000000000000');
  expect(importedIdMax).toBe('900000000000000000');
});

const notOfTheForm = { message: 'Invalid string: must match pattern /^[1-9]\\d{0,18}$/' };

test.each(['0', '', '-1', '+1', '01', '1 ', ' 1', '1x', 'x1', '1.0', '1e3', '９'])(
  '%j is no id',
  (text) => {
    expect(isId(text)).toBe(false);
    expect(Id.safeParse(text).error?.issues).toMatchObject([notOfTheForm]);
  },
);

test('an id is a positive BIGINT', () => {
  for (const id of ['1', '10', '9007199254740993', idMax]) {
    expect(isId(id)).toBe(true);
    expect(Id.parse(id)).toBe(id);
  }
  for (const id of ['9223372036854775808', '9999999999999999999']) {
    expect(isId(id)).toBe(false);
    expect(Id.safeParse(id).error?.issues).toMatchObject([
      { message: 'Expected an id of at most 63 bits' },
    ]);
  }
  expect(isId('10000000000000000000')).toBe(false);
  expect(Id.safeParse('10000000000000000000').error?.issues).toMatchObject([notOfTheForm]);
});

test.each([0, -1, 1.5, 2 ** 53])('the number %j is no id', (value) => {
  expect(Id.safeParse(value).success).toBe(false);
});

test.each([null, true, [1], undefined])('%j is neither a number nor a text', (value) => {
  expect(Id.safeParse(value).error?.issues).toMatchObject([{ message: 'Expected a positive id' }]);
});

test('an id is a number in JSON where a number keeps all its digits, else a text', () => {
  expect(jsonId('7')).toBe(7);
  expect(jsonId('9007199254740991')).toBe(9_007_199_254_740_991);
  expect(jsonId('9007199254740992')).toBe('9007199254740992');
  expect(jsonId('9007199254740993')).toBe('9007199254740993');
});

test('an id that is written as JSON is read as the same text', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 1n, max: 2n ** 63n - 1n }).map(String), (id) => {
      expect(Id.parse(JSON.parse(JSON.stringify(jsonId(id))))).toBe(id);
    }),
  );
});
