import { expect, test } from 'vitest';
import { schedule } from '../../lib/platform/lambda/schedule.ts';
import { contextOf } from '../support/lambda.ts';

test('work is told the time that was meant and the time that is left', async () => {
  const seen: { at: Date; left: number }[] = [];
  const handler = schedule(async ({ at, remaining }) => {
    seen.push({ at, left: remaining() });
    return 'recorded';
  });
  await handler({ time: '2026-11-21T02:00:00Z' }, contextOf(12_340));
  expect(seen.map(({ at }) => at.toISOString())).toEqual(['2026-11-21T02:00:00.000Z']);
  expect(seen[0]?.left).toBeGreaterThan(1_000);
  expect(seen[0]?.left).toBeLessThanOrEqual(12_340);
});

test('an error gets out, with its causes, without statements or personal data', async () => {
  const cause = Object.assign(new Error("Duplicate entry '13812345678' for key 'phone'"), {
    sql: 'insert …',
  });
  const handler = schedule(async () => {
    throw new Error('no row for 110101199003071234', { cause });
  });
  const error = await handler({ time: '2026-11-21T02:00:00Z' }, contextOf()).catch(
    (thrown) => thrown,
  );
  expect(error.message).toBe('no row for 110101********1234');
  expect(error.cause.message).toBe("Duplicate entry '138****5678' for key 'phone'");
  expect(Object.keys(error.cause)).not.toContain('sql');
  expect(error.stack).not.toContain('110101199003071234');
});

test('an event without a time is refused by name', async () => {
  const handler = schedule(async () => 'recorded');
  await expect(handler({ time: 'soon' }, contextOf())).rejects.toThrow('time');
});
