import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { root } from '../local/root.ts';
import { recordedSeconds, slowest, tooSlow, withTimes } from './support/test-times.ts';

const times = [
  { file: 'test/call/a.test.ts', seconds: 61 },
  { file: 'test/order/b.test.ts', seconds: 60 },
  { file: 'test/system/c.test.ts', seconds: 200 },
  { file: 'test/simulation/d.test.ts', seconds: 100 },
];

describe('docs/test-times.md', () => {
  const page = readFileSync(join(root, 'docs/test-times.md'), 'utf8');

  test('gives back the seconds that were written to it, slowest first', () => {
    const written = withTimes(page, times);
    expect([...recordedSeconds(written)]).toEqual([
      ['test/system/c.test.ts', 200],
      ['test/simulation/d.test.ts', 100],
      ['test/call/a.test.ts', 61],
      ['test/order/b.test.ts', 60],
    ]);
    expect(withTimes(written, times)).toBe(written);
  });

  test('fails a component test file that takes more than a minute, unless the page names it with a reason', () => {
    expect(tooSlow(times, page)).toEqual([times[0]]);
    expect(tooSlow(times, `- \`test/call/a.test.ts\`: plays a whole month\n${page}`)).toEqual([]);
    expect(tooSlow(times, `- \`test/call/a.test.ts\`: \n${page}`)).toEqual([times[0]]);
  });
});

test('on a machine that takes twice as long the limit of a file is two minutes', () => {
  const page = withTimes('\n| file |', [
    { file: 'test/call/a.test.ts', seconds: 40 },
    { file: 'test/order/b.test.ts', seconds: 10 },
  ]);
  const slow = (seconds: number) => [
    { file: 'test/call/a.test.ts', seconds },
    { file: 'test/order/b.test.ts', seconds: 100 - seconds },
  ];
  expect(tooSlow(slow(90), page)).toEqual([]);
  expect(tooSlow([...slow(90), { file: 'test/call/c.test.ts', seconds: 121 }], page)).toHaveLength(
    1,
  );
});

test('shows ten files at the most, slowest first', () => {
  const many = Array.from({ length: 12 }, (_, index) => ({
    file: `test/${index}`,
    seconds: index,
  }));
  const lines = slowest(many).split('\n');
  expect(lines).toHaveLength(10);
  expect(lines[0]).toBe('   11.0 s  test/11');
});
