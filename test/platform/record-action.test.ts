import { beforeEach, expect, test } from 'vitest';
import { resetDatabases, rowsOf } from '../support/databases.ts';
import { contextOf, eventOf } from '../support/lambda.ts';

const { handler } = await import('../../functions/platform/record-action.ts');
const sample = eventOf<Record<string, unknown>>('platform/record-action', 'redrive');
const trail = () => rowsOf('select who, what, why, detail from signalbox.audit');

beforeEach(resetDatabases);

test('who did what, why and to which queue', async () => {
  expect(await handler(sample, contextOf())).toEqual({ outcome: 'recorded' });
  const { by, ...entry } = sample;
  expect(await trail()).toEqual([{ who: by, ...entry }]);
});

test('the time is the database’s, in Shanghai', async () => {
  await handler(sample, contextOf());
  const [row] = await rowsOf('select timestampdiff(second, at, now()) age from signalbox.audit');
  expect(Math.abs(Number(row?.['age']))).toBeLessThan(30);
});

test.each([
  ['what', 'switch/on'],
  ['by', ''],
  ['why', undefined],
])('a wrong %s is refused by name, and nothing is noted', async (field, value) => {
  await expect(handler({ ...sample, [field]: value }, contextOf())).rejects.toThrow(
    `The input is not valid: ${field}: `,
  );
  expect(await trail()).toEqual([]);
});
