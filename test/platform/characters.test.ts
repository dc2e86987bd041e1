import fc from 'fast-check';
import { expect, test } from 'vitest';
import { escaped, firstRefused, jsonOf } from '../../lib/platform/characters.ts';

test.each([
  ['\u0000', '0000'],
  ['\u0008', '0008'],
  ['\u000b', '000b'],
  ['\u000c', '000c'],
  ['\u000e', '000e'],
  ['\u001f', '001f'],
  ['\ud800', 'd800'],
  ['\udfff', 'dfff'],
  ['\ufffe', 'fffe'],
  ['\uffff', 'ffff'],
])('%j is refused by SQS, escaped, and named', (character, hex) => {
  expect(escaped(`a${character}b`)).toBe(`a\\u${hex}b`);
  expect(firstRefused(character)).toBe(`U+${hex.toUpperCase()}`);
  expect(firstRefused(`😀${character}\u0001`)).toBe(`U+${hex.toUpperCase()}`);
});

test.each([
  '\t',
  '\n',
  '\r',
  ' ',
  '\u007f',
  '\ud7ff',
  '\ue000',
  '\ufffd',
  '\u{10000}',
  '\u{10ffff}',
])('%j is taken by SQS as it is', (character) => {
  expect(escaped(`a${character}b`)).toBe(`a${character}b`);
  expect(firstRefused(`a${character}b`)).toBeUndefined();
});

test('a message keeps every character, and SQS takes its JSON', () => {
  const units = fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 30 });
  fc.assert(
    fc.property(units, (codes) => {
      const text = String.fromCharCode(...codes);
      const json = jsonOf({ text });
      expect(firstRefused(json)).toBeUndefined();
      expect(JSON.parse(json)).toEqual({ text });
    }),
  );
});
