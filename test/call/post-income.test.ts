import type { ScheduledEvent } from 'aws-lambda';
import { beforeEach, expect, test } from 'vitest';
import type { AccountingTables } from '../../lib/call/accounting-tables.ts';
import { postIncome } from '../../lib/call/income.ts';
import { mysql } from '../../lib/platform/mysql.ts';
import { balances, contract, income, owner, payment } from '../support/accounting.ts';
import { resetDatabases, rowsOf, run } from '../support/databases.ts';
import { contextOf, eventOf } from '../support/lambda.ts';

const { handler } = await import('../../functions/call/post-income.ts');
const minute = eventOf<ScheduledEvent>('call/post-income', 'minute');
const post = () => handler(minute, contextOf());
const cursor = async () => {
  const [row] = await rowsOf('select posted_to from user_prop_db.sublessor_income_cursor');
  return row?.['posted_to'];
};
const settle = (id: string) =>
  run("update user_prop_db.sublessor_call_payment_log_201409 set state = 'charged' where id = ?", [
    id,
  ]);
const now = async () => String((await rowsOf('select now(3) at'))[0]?.['at']);

beforeEach(resetDatabases);

test('the oldest contract pays, then the next, and what none covers waits', async () => {
  await contract('12', 3_000, { signedAt: '2026-10-01 00:00:00' });
  await contract('11', 6_000, { signedAt: '2026-10-02 00:00:00' });
  await contract('13', 9_000, { userId: '7002', signedAt: '2026-01-01 00:00:00' });
  for (const id of ['101', '102', '103']) await payment({ id });
  await post();
  expect(await income()).toEqual([
    ['101', '11', 1_000],
    ['101', '12', 3_000],
    ['102', '11', 4_000],
    ['103', '11', 1_000],
    ['103', null, 3_000],
  ]);
  expect(await balances()).toEqual([0, 0, 9_000]);
  expect(await cursor()).toBe('103');
});

test('a charge that is settled hours after later ones is posted all the same, once', async () => {
  await contract('11', 100_000);
  await payment({ id: '101', state: 'unknown' });
  await payment({ id: '102', state: 'refused' });
  await payment({ id: '103' });
  await post();
  expect(await income()).toEqual([['103', '11', 4_000]]);
  await settle('101');
  await Promise.all([post(), post()]);
  await post();
  expect(await income()).toEqual([
    ['101', '11', 4_000],
    ['103', '11', 4_000],
  ]);
  expect(await balances()).toEqual([92_000]);
  expect(await cursor()).toBe('103');
});

test('the cursor does not pass what is too young: a lower id may still be to come', async () => {
  await contract('11', 100_000);
  await payment({ id: '102', at: await now() });
  await post();
  expect(await income()).toEqual([['102', '11', 4_000]]);
  await payment({ id: '101', at: await now() });
  await post();
  expect(await income()).toEqual([
    ['101', '11', 4_000],
    ['102', '11', 4_000],
  ]);
  expect(await balances()).toEqual([92_000]);
});

test('what is not charged is not posted', async () => {
  for (const [index, state] of ['intent', 'sent', 'unknown', 'refused'].entries())
    await payment({ id: String(101 + index), state });
  await post();
  expect(await income()).toEqual([]);
});

/** Many charges of one owner, as one statement. */
const many = (count: number) =>
  run(
    `insert into user_prop_db.sublessor_call_payment_log_201409
      (id, call_log_id, user_id, amount_fen, state, created_at)
     with recursive n as (select 1 i union all select i + 1 from n where i < ?)
     select i, i, ?, 4000, 'charged', '2026-11-20 10:00:00' from n`,
    [count, owner],
  );

test('with little time the next run goes on', async () => {
  await contract('11', 1_000_000);
  await many(60);
  let left = 20;
  const remaining = () => (left-- > 0 ? 60_000 : 0);
  const mysqlOfTest = mysql<AccountingTables>('mysql');
  const deps = { mysql: mysqlOfTest, settings: async () => ({ pageRowsMax: 7 }) };
  expect(await postIncome(deps, { remaining })).toMatchObject({ outcome: 'out of time' });
  const posted = (await income()).length;
  expect(posted).toBeGreaterThan(5);
  expect(posted).toBeLessThan(20);
  expect(await postIncome(deps, { remaining: () => 60_000 })).toEqual({
    outcome: 'posted',
    posted: 60 - posted,
  });
  expect((await income()).length).toBe(60);
  expect(await balances()).toEqual([1_000_000 - 60 * 4_000]);
  expect(await cursor()).toBe('60');
});
