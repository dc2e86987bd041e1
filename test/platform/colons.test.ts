import fc from 'fast-check';
import { expect, test } from 'vitest';
import { colonsIn, colonsOf } from '../../lib/platform/colons.ts';

test.each([
  ['', 0],
  ['a', 0],
  [':', 1],
  [':a::b:', 4],
])('the text %j has %i colons', (text, count) => {
  expect(colonsIn(text)).toBe(count);
});

test.each([
  ['a:b', 1],
  [7, 0],
  [null, 0],
  [true, 0],
  [[':', ['::'], 1, null], 3],
  [{ a: 1, 'b:c': [{ d: ':' }], e: {} }, 6],
  [{}, 0],
])('%j has %i colons as JSON', (value, count) => {
  expect(colonsOf(value)).toBe(count);
});

test('a value has as many colons as its text, because JSON escapes none', () => {
  const text = fc.string({ unit: fc.constantFrom(':', 'a', '"', '\\', '可') });
  const values = fc.jsonValue();
  fc.assert(
    fc.property(fc.dictionary(text, fc.oneof(text, values)), (value) => {
      expect(colonsOf(JSON.parse(JSON.stringify(value)))).toBe(colonsIn(JSON.stringify(value)));
    }),
  );
});
