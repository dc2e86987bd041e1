import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cutTo } from '../../lib/platform/cut.ts';

test('a text is cut between characters, those of four bytes are kept whole', () => {
  expect(cutTo('王芳😀x', 3)).toBe('王芳😀');
  expect(cutTo('王芳😀x', 4)).toBe('王芳😀x');
  expect(cutTo('abc', 0)).toBe('');
});

test('half characters become U+FFFD', () => {
  expect(cutTo('a\ud83d', 2)).toBe('a\ufffd');
  expect(cutTo('\ude00b', 1)).toBe('\ufffd');
});

test('what is cut is well-formed, no longer than it may be, and the beginning of the text', () => {
  const texts = fc.string({ unit: 'binary', maxLength: 40 });
  fc.assert(
    fc.property(texts, fc.integer({ min: 0, max: 50 }), (text, charactersMax) => {
      const cut = cutTo(text, charactersMax);
      expect(cut.isWellFormed()).toBe(true);
      expect(Array.from(cut).length).toBeLessThanOrEqual(charactersMax);
      expect(Array.from(text).length <= charactersMax ? cut : `${cut}…`).toBe(
        Array.from(text).length <= charactersMax
          ? text
          : `${Array.from(text).slice(0, charactersMax).join('')}…`,
      );
    }),
  );
});
