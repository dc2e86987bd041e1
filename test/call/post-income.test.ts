import type { ScheduledEvent } from 'aws-lambda';
import { beforeEach, expect, test } from 'vitest';
import { rememberFailure, writeIncomeCursor } from '../../lib/call/accounting/income-cursor.ts';
import { postIncome } from '../../lib/call/accounting/post-income.ts';
import type { AccountingTables } from '../../lib/call/accounting-tables.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { connect } from '../../local/mysql.ts';
import { balances, contract, income, owner, payment } from '../support/accounting.ts';
import { resetDatabases, rowsOf, run, serverOfWorker } from '../support/databases.ts';
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
    `set session cte_max_recursion_depth = 5000;
     insert into user_prop_db.sublessor_call_payment_log_201409
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
  expect(await postIncome(deps, { remaining })).toMatchObject({ outcome: 'out-of-time' });
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

const remembered = async () =>
  (
    await rowsOf(
      'select payment_id, why from user_prop_db.sublessor_income_open order by payment_id',
    )
  ).map(({ payment_id, why }) => [payment_id, why]);

test('the cursor passes a charge that stays open, and remembers it until it is final', async () => {
  await contract('11', 100_000);
  await payment({ id: '101', state: 'unknown' });
  await payment({ id: '102', state: 'intent' });
  await payment({ id: '103' });
  await post();
  expect(await cursor()).toBe('103');
  expect(await remembered()).toEqual([
    ['101', null],
    ['102', null],
  ]);
  await settle('101');
  await run(
    "update user_prop_db.sublessor_call_payment_log_201409 set state = 'refused' where id = 102",
  );
  await post();
  expect(await remembered()).toEqual([]);
  expect(await income()).toEqual([
    ['101', '11', 4_000],
    ['103', '11', 4_000],
  ]);
  expect(await balances()).toEqual([92_000]);
});

test('rows above an open charge are read once, not at every run', async () => {
  await payment({ id: '50', state: 'unknown', callLogId: '9050' });
  await run(
    `insert into user_prop_db.sublessor_call_payment_log_201409
      (id, call_log_id, user_id, amount_fen, state, created_at)
     values (100, 100, ?, 4000, 'refused', '2026-11-20 10:00:00'),
      (101, 101, ?, 4000, 'refused', '2026-11-20 10:00:00')`,
    [owner, owner],
  );
  await post();
  expect(await cursor()).toBe('101');
});

test('a reversal whose charge was not charged is named, and the rest is posted', async () => {
  await contract('11', 100_000);
  await payment({ id: '101', state: 'unknown' });
  await run(
    `insert into user_prop_db.sublessor_call_payment_log_201409
      (id, reverses_id, user_id, amount_fen, state, created_at, updated_at)
     values (102, 101, ?, -4000, 'charged', '2026-11-20 10:00:00', '2026-11-20 10:00:00')`,
    [owner],
  );
  await payment({ id: '103' });
  await payment({ id: '104', userId: '7002' });
  await post();
  expect(await income()).toEqual([
    ['103', '11', 4_000],
    ['104', null, 4_000],
  ]);
  expect(await cursor()).toBe('104');
  expect(await remembered()).toEqual([
    ['101', null],
    ['102', 'Reversal 102 cannot be posted: payment 101 is not charged.'],
  ]);
  await post();
  expect(await income()).toHaveLength(2);
  await settle('101');
  await post();
  await post();
  expect(await remembered()).toEqual([]);
  expect(await income()).toEqual([
    ['101', '11', 4_000],
    ['102', '11', -4_000],
    ['103', '11', 4_000],
    ['104', null, 4_000],
  ]);
  expect(await balances()).toEqual([96_000]);
});

test('why a payment could not be posted is cut to the column, a character of four bytes whole', async () => {
  const db = mysql<AccountingTables>('mysql');
  const why = `${'x'.repeat(499)}😀😀`;
  const passed = new Map([['101', why]]);
  await db.transaction().execute((trx) => writeIncomeCursor(trx, { cursor: '101', passed }));
  expect(await remembered()).toEqual([['101', `${'x'.repeat(499)}😀`]]);
  await run('update user_prop_db.sublessor_income_open set why = null');
  await rememberFailure(db, '101', why);
  expect(await remembered()).toEqual([['101', `${'x'.repeat(499)}😀`]]);
});

test('an account that is locked for long blocks its own owner only', async () => {
  await contract('11', 100_000);
  await contract('12', 100_000, { userId: '7002' });
  await payment({ id: '101' });
  await payment({ id: '102', userId: '7002' });
  await run('insert into user_prop_db.sublessor_account (user_id) values (?)', [owner]);
  const other = await connect(serverOfWorker());
  try {
    await other.query('begin');
    await other.query('select * from user_prop_db.sublessor_account where user_id = ? for update', [
      owner,
    ]);
    await post();
    expect(await income()).toEqual([['102', '12', 4_000]]);
  } finally {
    await other.end();
  }
  await post();
  expect(await income()).toEqual([
    ['101', '11', 4_000],
    ['102', '12', 4_000],
  ]);
});

test('over rows that are posted already each run makes progress, however little time it has', async () => {
  await many(60);
  await post();
  await run('truncate table user_prop_db.sublessor_income_cursor');
  const deps = {
    mysql: mysql<AccountingTables>('mysql'),
    settings: async () => ({ pageRowsMax: 7 }),
  };
  const places = [0];
  while (places.at(-1) !== 60) {
    let looks = 5; // Fewer than there are pages.
    await postIncome(deps, { remaining: () => (looks-- > 0 ? 60_000 : 0) });
    places.push(Number(await cursor()));
    expect(places.at(-1)).toBeGreaterThan(places.at(-2) ?? 0);
  }
  expect(await income()).toHaveLength(60);
});

test('what a contract left in portions is allocated by the next run, in the order of the charges', async () => {
  await many(1_200);
  await post();
  await contract('11', 1_000 * 4_000 + 1_000);
  await run("update user_prop_db.sublessor_account set allocate_since = '2026-11-20 10:00:00'");
  await payment({ id: '1201' });
  await post();
  const rows = await income();
  const paid = rows.filter(([, contractId]) => contractId === '11');
  expect(paid).toHaveLength(1_001);
  expect(paid.every(([id], index) => Number(id) === index + 1)).toBe(true);
  expect(paid.at(-1)).toEqual(['1001', '11', 1_000]);
  expect(rows.find(([id, contractId]) => id === '1001' && contractId === null)).toEqual([
    ...['1001', null, 3_000],
  ]);
  expect(rows.at(-1)).toEqual(['1201', null, 4_000]);
  expect(await balances()).toEqual([0]);
  expect(await rowsOf('select allocate_since from user_prop_db.sublessor_account')).toEqual([
    { allocate_since: null },
  ]);
});
