import './silence-logs.ts';

import { globSync } from 'node:fs';
import { expect, test } from 'vitest';
import { scenarios } from './scenarios/all.ts';
import { budgetSeconds, shares } from './shares.ts';

const named = Object.keys(shares).toSorted();

test('the seconds of all shares add up to at most the budget', () => {
  const seconds = Object.values(shares).map((share) => share.seconds);
  expect(Math.min(...seconds)).toBeGreaterThan(0);
  expect(seconds.reduce((sum, one) => sum + one, 0)).toBeLessThanOrEqual(budgetSeconds);
});

test('every scenario has a share and a test file', () => {
  const names = [...scenarios.map(({ name }) => name), 'determinism'].toSorted();
  const files = globSync('*.test.ts', { cwd: import.meta.dirname })
    .map((file) => file.replace('.test.ts', ''))
    .filter((name) => name !== 'shares' && name !== 'bank-choice');
  expect(names).toEqual(named);
  expect(files.toSorted()).toEqual(named);
});
