import { beforeEach, expect, test } from 'vitest';
import type { AccountingTables } from '../../lib/call/accounting-tables.ts';
import type { ImportHistory } from '../../lib/call/inputs.ts';
import { importHistory } from '../../lib/call/migration/import-history.ts';
import { signedContracts } from '../../lib/call/queues.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { balances, income, payment } from '../support/accounting.ts';
import { resetDatabases, rowsOf, run } from '../support/databases.ts';
import { createHistory, oldCall, oldContract, oldIncome, oldPayment } from '../support/history.ts';
import { contextOf, eventOf, sqsEvent } from '../support/lambda.ts';
import { testDeadLetterQueue } from '../support/queues.ts';

await testDeadLetterQueue(signedContracts);
const { handler } = await import('../../functions/call/import-history.ts');
const { handler: postContract } = await import('../../functions/call/post-contract.ts');
const { handler: postIncome } = await import('../../functions/call/post-income.ts');

const [calls, money] = ['calls', 'money'].map((name) =>
  eventOf<ImportHistory>('call/import-history', name),
) as [ImportHistory, ImportHistory];
const deps = {
  mysql: mysql<AccountingTables>('mysql'),
  settings: async () => ({ history_schema: 'sublessor_history', shadow: true }),
  firstSwitchOff: async () => undefined,
};
const start = (input: ImportHistory, remaining = () => 60_000) =>
  importHistory(deps, input, { remaining, progress: () => {} });
const logged = () =>
  rowsOf(`select id, call_id, filter_rule, caller_digits from user_prop_db.sublessor_call_log_201409
    order by call_id`);
const paid = () =>
  rowsOf(`select id, call_log_id, state from user_prop_db.sublessor_call_payment_log_201409
    order by id`);

/** Two charged calls and a refused one, one charge still not posted, and an undecided call. */
async function history(): Promise<void> {
  await oldContract(11, 100_000, 96_000);
  await oldCall(5_001, 'old-1');
  await oldCall(5_002, 'old-2');
  await oldCall(5_003, 'old-3');
  await oldCall(5_004, 'old-4', 3);
  await oldPayment(830_000_000_001, 5_001);
  await oldPayment(830_000_000_002, 5_002);
  await oldPayment(830_000_000_003, 5_003, 'refused');
  await oldIncome(9_001, 830_000_000_001, 11);
}

beforeEach(async () => {
  await resetDatabases();
  await createHistory();
});

test('rows keep their ids, numbers go on above them, what was not posted is posted by us', async () => {
  await history();
  expect(await start(calls)).toEqual({ outcome: 'imported', what: 'calls', imported: 4 });
  expect(await start(money)).toEqual({ outcome: 'imported', what: 'money', imported: 5 });
  expect(await logged()).toMatchObject([
    { id: '5001', call_id: 'old-1', filter_rule: 1, caller_digits: '13900000001' },
    { id: '5002', call_id: 'old-2' },
    { id: '5003', call_id: 'old-3' },
    { id: '5004', call_id: 'old-4', filter_rule: 3 },
  ]);
  expect(await paid()).toEqual([
    { id: '830000000001', call_log_id: '5001', state: 'charged' },
    { id: '830000000002', call_log_id: '5002', state: 'charged' },
    { id: '830000000003', call_log_id: '5003', state: 'refused' },
  ]);
  expect(await income()).toEqual([['830000000001', '11', 4_000]]);
  await postIncome(eventOf('call/post-income', 'minute'), contextOf());
  expect((await income()).at(-1)).toEqual(['830000000002', '11', 4_000]);
  expect(await balances()).toEqual([92_000]);
  await run(`insert into user_prop_db.sublessor_call_payment_log_201409
    (call_log_id, user_id, amount_fen, state) values (77, 7001, 4000, 'sent')`);
  expect((await paid()).at(-1)).toMatchObject({ id: '830000000004' });
});

test('imported twice, and again after more has come: each row once', async () => {
  await history();
  await start(calls);
  await oldCall(5_005, 'old-5');
  expect(await start(calls)).toMatchObject({ outcome: 'imported', imported: 1 });
  await start(money);
  expect(await start(money)).toMatchObject({ outcome: 'imported', imported: 0 });
  expect(await logged()).toHaveLength(5);
  expect(await paid()).toHaveLength(3);
});

test('what we have logged ourselves gets the decision of the old system, and its charge', async () => {
  await history();
  await run(`insert into user_prop_db.sublessor_call_log_201409
    (id, call_id, user_id, caller, callee, status, started_at, duration, filter_rule, caller_digits)
    values (5001, 'ours-only', 7001, '139', '400', 1, now(), 60, 1, '139'),
      (5002, 'old-1', 7001, '139', '400', 1, now(), 60, 4, '139')`);
  await start(calls);
  await start(money);
  const rows = await logged();
  expect(rows.map(({ call_id, filter_rule }) => [call_id, filter_rule])).toEqual([
    ...[
      ['old-1', 1],
      ['old-2', 1],
      ['old-3', 1],
      ['old-4', 3],
      ['ours-only', 1],
    ],
  ]);
  const idOf = new Map(rows.map(({ call_id, id }) => [call_id, id]));
  expect(idOf.get('old-1')).toBe('5002');
  expect((await paid()).map(({ call_log_id }) => call_log_id)).toEqual([
    ...['5002', idOf.get('old-2'), '5003'],
  ]);
});

test('stopped for lack of time, it goes on where it stopped', async () => {
  for (let id = 1; id <= 1_100; id++) await oldCall(id, `old-${id}`, 2);
  let looks = 0;
  const first = await start(calls, () => (looks++ < 2 ? 60_000 : 0));
  expect(first).toMatchObject({ outcome: 'out-of-time', imported: 1_000 });
  const resume = first['resume'] as ImportHistory;
  expect(resume).toMatchObject({ part: 'calls', after: '1000' });
  expect(await start(resume)).toMatchObject({ outcome: 'imported', imported: 100 });
  expect(await rowsOf('select what from signalbox.audit')).toEqual([
    { what: 'call/import-history' },
  ]);
}, 60_000);

test('money only when the old system has ended what it began', async () => {
  await history();
  await oldCall(5_006, 'old-6', null);
  await oldPayment(830_000_000_006, 5_006, 'sent');
  expect(await start(money)).toEqual({
    outcome: 'open-in-old-system',
    calls: 1,
    payments: 1,
    open: { calls: ['5006'], payments: ['830000000006'] },
  });
  expect(await paid()).toEqual([]);
  expect(await start(calls)).toMatchObject({ outcome: 'imported', imported: 4 });
});

test('a row of ours that stands where an old one should is told', async () => {
  await history();
  await payment({ id: '830000000009', callLogId: '5001' });
  await start(calls);
  expect(await start(money)).toMatchObject({
    outcome: 'imported-with-differences',
    differing: { payments: 1 },
  });
});

test('not while we charge ourselves', async () => {
  expect(await handler(calls, contextOf())).toEqual({ outcome: 'charging-not-switched-off' });
});

const sums = async () =>
  (
    await rowsOf(`select payment_id, sum(amount_fen) fen
      from user_prop_db.sublessor_accounting_income_201409 group by payment_id order by payment_id`)
  ).map(({ payment_id, fen }) => [payment_id, Number(fen)]);

test('imported again after a contract has paid waiting income: nothing counts twice', async () => {
  await history();
  await oldIncome(9_002, 830_000_000_002, null);
  await start(calls);
  await start(money);
  await postContract(
    sqsEvent({
      contract_id: 501,
      contract_no: 'N-501',
      user_id: 7001,
      customer: '客户',
      amount_fen: 10_000,
      signed_at: '2026-11-01 10:00:00',
    }),
    contextOf(),
  );
  const before = [await income(), await balances()];
  expect(await start(money)).toEqual({ outcome: 'imported', what: 'money', imported: 0 });
  expect([await income(), await balances()]).toEqual(before);
  expect(await sums()).toEqual([
    ['830000000001', 4_000],
    ['830000000002', 4_000],
  ]);
});

test('imported again after we have posted what the old system posts later: nothing counts twice', async () => {
  await history();
  await start(calls);
  await start(money);
  await postIncome(eventOf('call/post-income', 'minute'), contextOf());
  await oldIncome(9_002, 830_000_000_002, 11);
  await run('update sublessor_history.sublessor_contract set balance_fen = 92000');
  expect(await start(money)).toMatchObject({ outcome: 'imported', imported: 0 });
  expect(await sums()).toEqual([
    ['830000000001', 4_000],
    ['830000000002', 4_000],
  ]);
  expect(await balances()).toEqual([92_000]);
});

test('income, or a balance, that is other than in the old system is told', async () => {
  await history();
  await start(calls);
  await start(money);
  await run('update sublessor_history.sublessor_contract set balance_fen = 96001');
  await run('update user_prop_db.sublessor_accounting_income_201409 set amount_fen = 3999');
  expect(await start(money)).toMatchObject({
    outcome: 'imported-with-differences',
    differing: { income: 1, contracts: 1 },
  });
});
