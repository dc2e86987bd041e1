/**
 * The import of the old system's tables that is started again: after rows of the copy were corrected, after contracts
 * and charges came here, and after the old job has charged and posted in between. Nothing counts twice, nothing is
 * overwritten, and the reconciliation finds no difference.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import type { AccountingTables } from '../../lib/call/accounting-tables.ts';
import { AdvancePaymentIds, ImportHistory } from '../../lib/call/inputs.ts';
import { advancePaymentIds } from '../../lib/call/migration/advance-payment-ids.ts';
import { importHistory } from '../../lib/call/migration/import-history.ts';
import { payments } from '../../lib/call/partners/payment-centre.ts';
import { signedContracts } from '../../lib/call/queues.ts';
import {
  differencesOfContracts,
  differencesOfIncome,
} from '../../lib/call/reconciliation/book-differences.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { root } from '../../local/root.ts';
import { paymentAccount } from '../../local/secrets.ts';
import { balances, callLog, contract, income, payment } from '../support/accounting.ts';
import { resetCalls } from '../support/calls.ts';
import { rowsOf, run } from '../support/databases.ts';
import { createHistory, oldCall, oldContract, oldIncome, oldPayment } from '../support/history.ts';
import { contextOf, eventOf, sqsEvent } from '../support/lambda.ts';
import { testDeadLetterQueue } from '../support/queues.ts';
import { workerServers } from '../support/started.ts';

await testDeadLetterQueue(signedContracts);
const { handler: postContract } = await import('../../functions/call/post-contract.ts');
const { handler: postIncome } = await import('../../functions/call/post-income.ts');

const db = mysql<AccountingTables>('mysql');
const old = 'sublessor_history.sublessor';
const log = 'user_prop_db.sublessor_call_payment_log_201409';
const paymentOf = (n: number) => 830_000_000_000 + n;
const named = (n: number) => String(paymentOf(n));

interface Answer {
  readonly outcome: string;
  readonly imported?: number;
  readonly named?: readonly unknown[];
  readonly differing?: unknown;
  readonly resume?: ImportHistory;
}
const start = async (
  input: Pick<ImportHistory, 'what'> & Partial<ImportHistory>,
  remaining = () => 60_000,
) =>
  (await importHistory(
    {
      mysql: db,
      firstSwitchOff: async () => undefined,
      settings: async () => ({ history_schema: 'sublessor_history', shadow: true }),
    },
    ImportHistory.parse({ by: 'lena', why: 'cut-over', ...input }),
    { remaining, progress: () => {} },
  )) as Answer;
const calls = { what: 'calls' } as const;
const money = { what: 'money' } as const;
const postAll = () => postIncome(eventOf('call/post-income', 'minute'), contextOf());
const signed = (id: number, amountFen: number) =>
  postContract(
    sqsEvent({
      contract_id: id,
      contract_no: `N-${id}`,
      user_id: 7001,
      customer: '客户',
      amount_fen: amountFen,
      signed_at: '2026-10-02 10:00:00',
    }),
    contextOf(),
  );
/** What the reconciliation finds between charges, income and contracts of all days. */
const differences = async () => {
  const span = { from: '2026-01-01 00:00:00', to: '2099-01-01 00:00:00' };
  const ofIncome = await differencesOfIncome(db, span, () => 60_000, 0);
  const found = [...ofIncome.found, ...(await differencesOfContracts(db, span))];
  return found.map(({ kind, subject }) => `${kind}: ${subject}`);
};
const paid = async () =>
  (await rowsOf(`select id from ${log} order by id`)).map(({ id }) => String(id));
const ruleOf = async (callId: string) =>
  (
    await rowsOf(
      'select filter_rule from user_prop_db.sublessor_call_log_201409 where call_id = ?',
      [callId],
    )
  )[0]?.['filter_rule'];

/** A charged call and its income on contract 11, of which all is paid. */
async function history(): Promise<void> {
  await oldContract(11, 4_000, 0);
  await oldCall(5_001, 'old-1');
  await oldPayment(paymentOf(1), 5_001);
  await oldIncome(9_001, paymentOf(1), 11);
}

beforeEach(async () => {
  await resetCalls();
  await createHistory();
});

test('income that waits counts once when its payment is corrected and imported after a contract came', async () => {
  await history();
  await oldCall(5_002, 'old-2');
  await oldPayment(paymentOf(2), 5_002);
  await oldIncome(9_002, paymentOf(2), null);
  await run(`update ${old}_call_payment_log_201409 set updated_at = null where id = ?`, [
    paymentOf(2),
  ]);
  await start(calls);
  expect((await start(money)).named).toEqual([
    { part: 'income', id: '9002', why: 'its payment is not copied' },
    { part: 'payments', id: named(2), why: 'updated_at: Expected a time' },
  ]);
  expect(await income()).toEqual([[named(1), '11', 4_000]]);
  await signed(501, 10_000);
  await run(`update ${old}_call_payment_log_201409 set updated_at = created_at`);
  expect(await start(money)).toEqual({ outcome: 'imported', what: 'money', imported: 2 });
  await postAll();
  expect(await income()).toEqual([
    [named(1), '11', 4_000],
    [named(2), '501', 4_000],
  ]);
  expect(await balances()).toEqual([0, 6_000]);
  expect(await differences()).toEqual([]);
});

test('income that waits counts once wherever the import runs out of time before a contract comes', async () => {
  for (const pages of [1, 2, 3]) {
    await resetCalls();
    await createHistory();
    await history();
    await oldCall(5_002, 'old-2');
    await oldPayment(paymentOf(2), 5_002);
    await oldIncome(9_002, paymentOf(2), null);
    await start(calls);
    let looks = 0;
    await start(money, () => (looks++ < pages ? 60_000 : 0));
    await signed(501, 10_000);
    await start(money);
    await postAll();
    expect(await income()).toEqual([
      [named(1), '11', 4_000],
      [named(2), '501', 4_000],
    ]);
    expect(await differences()).toEqual([]);
  }
});

test('a charge that is corrected and imported below the cursor of call/post-income is posted', async () => {
  await history();
  await oldContract(12, 10_000, 10_000);
  await oldCall(5_002, 'old-2');
  await oldCall(5_003, 'old-3');
  await oldPayment(paymentOf(2), 5_002);
  await oldPayment(paymentOf(3), 5_003);
  await run(`update ${old}_call_payment_log_201409 set updated_at = null where id = ?`, [
    paymentOf(2),
  ]);
  await start(calls);
  await start(money);
  await postAll();
  await run(`update ${old}_call_payment_log_201409 set updated_at = created_at`);
  expect(await start(money)).toMatchObject({ imported: 1 });
  await postAll();
  expect(await income()).toEqual([
    [named(1), '11', 4_000],
    [named(2), '12', 4_000],
    [named(3), '12', 4_000],
  ]);
  await postAll();
  expect(await rowsOf('select payment_id from user_prop_db.sublessor_income_open')).toEqual([]);
  expect(await differences()).toEqual([]);
});

test('income that the old job posts to a contract we have is taken out of its balance, however often it is imported', async () => {
  await history();
  await run(`update ${old}_contract set amount_fen = 20000, balance_fen = 16000`);
  await start(calls);
  await start(money);
  await oldCall(5_002, 'old-2');
  await oldCall(5_003, 'old-3');
  await oldPayment(paymentOf(2), 5_002);
  await oldPayment(paymentOf(3), 5_003);
  await oldIncome(9_002, paymentOf(2), 11);
  await oldIncome(9_003, paymentOf(3), 11);
  await run(`update ${old}_contract set balance_fen = 8000`);
  // An allocation of ours has got the number of income that the old job has posted.
  await run(`insert into user_prop_db.sublessor_accounting_income_201409
    (id, payment_id, contract_id, user_id, amount_fen) values (9003, 77, null, 7002, 1)`);
  await start(calls);
  let looks = 0;
  await start(money, () => (looks++ < 1 ? 60_000 : 0));
  expect(await balances()).toEqual([8_000]);
  expect(await start(money)).toMatchObject({ outcome: 'imported', imported: 4 });
  expect(await start(money)).toMatchObject({ outcome: 'imported', imported: 0 });
  expect(await balances()).toEqual([8_000]);
  expect((await income()).slice(1)).toEqual([
    [named(1), '11', 4_000],
    [named(2), '11', 4_000],
    [named(3), '11', 4_000],
  ]);
  await run('delete from user_prop_db.sublessor_accounting_income_201409 where payment_id = 77');
  expect(await differences()).toEqual([]);
});

test('a contract whose balance is explained by no income is named, and no income is booked on it', async () => {
  await history();
  await run(`update ${old}_contract set amount_fen = 20000, balance_fen = 16000`);
  await start(calls);
  await start(money);
  await oldCall(5_002, 'old-2');
  await oldPayment(paymentOf(2), 5_002);
  await oldIncome(9_002, paymentOf(2), 11);
  await run(`update ${old}_contract set balance_fen = 11000`);
  await start(calls);
  const answer = await start(money);
  expect(answer).toMatchObject({ outcome: 'imported-with-differences', imported: 0 });
  expect(answer.named).toEqual([
    {
      part: 'contracts',
      id: '11',
      why: 'balance_fen: Expected 11000, by the income that is posted here and in the copy',
    },
    { part: 'income', id: '9002', why: 'contract_id: the contract differs from the old system' },
    { part: 'payments', id: named(2), why: 'its income differs from the old system' },
  ]);
  expect(await balances()).toEqual([16_000]);
  expect(await differences()).toEqual([]);
});

test('a contract that paid in the old system what still waits here comes with money for it', async () => {
  await history();
  await oldCall(5_002, 'old-2');
  await oldPayment(paymentOf(2), 5_002);
  await oldIncome(9_002, paymentOf(2), null);
  await start(calls);
  await start(money);
  await oldContract(12, 10_000, 6_000);
  await run(`update ${old}_accounting_income_201409 set contract_id = 12 where id = 9002`);
  expect(await start(money)).toMatchObject({ outcome: 'imported', imported: 1 });
  expect(await differences()).toEqual([]);
  await postAll();
  expect((await income()).at(-1)).toEqual([named(2), '12', 4_000]);
  expect(await balances()).toEqual([0, 6_000]);
});

test('income that is here without its payment, as earlier imports left it, stays as it is and its payment follows', async () => {
  await history();
  await start(calls);
  await start(money);
  await run(`delete from ${log}`);
  expect(await start(money)).toEqual({ outcome: 'imported', what: 'money', imported: 1 });
  expect([await income(), await balances()]).toEqual([[[named(1), '11', 4_000]], [0]]);
  await run(`delete from ${log};
    update user_prop_db.sublessor_accounting_income_201409 set amount_fen = 3999`);
  expect((await start(money)).named).toMatchObject([
    { part: 'contracts', id: '11' },
    { part: 'income', id: '9001', why: 'contract_id: the contract differs from the old system' },
    { part: 'payments', id: named(1), why: 'its income differs from the old system' },
  ]);
});

test('the old system gets our income in place of its own on the way back, and it is imported again without a difference', async () => {
  await history();
  await oldCall(5_002, 'old-2');
  await oldPayment(paymentOf(2), 5_002);
  await oldIncome(9_002, paymentOf(2), null);
  await start(calls);
  await start(money);
  await signed(501, 10_000);
  const page = readFileSync(join(root, 'docs/runbooks/cut-over.md'), 'utf8');
  await run(page.match(/```sql\n([\s\S]*?)```/)?.[1] ?? '');
  expect(
    await rowsOf(`select payment_id, contract_id, amount_fen from ${old}_accounting_income_201409
      order by payment_id`),
  ).toMatchObject([
    { payment_id: named(1), contract_id: '11' },
    { payment_id: named(2), contract_id: '501' },
  ]);
  await start(calls);
  expect(await start(money)).toEqual({ outcome: 'imported', what: 'money', imported: 0 });
  expect(await differences()).toEqual([]);
});

test('rows of ours that differ from the copy are named with the fields, and stay as they are', async () => {
  await oldContract(11, 4_000, 0);
  await oldContract(12, 10_000, 10_000);
  await contract('11', 4_000);
  await contract('13', 9_000);
  await run(`update user_prop_db.sublessor_contract set contract_no = 'K-1' where contract_id = 11;
    update user_prop_db.sublessor_contract set contract_no = 'C-12' where contract_id = 13`);
  await callLog('5001', 4);
  await run("update user_prop_db.sublessor_call_log_201409 set call_id = 'old-1', user_id = 7002");
  for (const n of [1, 2, 3, 5]) await oldCall(5_000 + n, `old-${n}`);
  for (const n of [1, 2, 3, 5]) await oldPayment(paymentOf(n), 5_000 + n);
  await oldIncome(9_002, paymentOf(2), 11);
  await payment({ id: named(5), callLogId: '77', userId: '7002' });
  expect((await start(calls)).named).toEqual([
    { part: 'calls', id: '5001', why: 'a different row exists here: user_id' },
  ]);
  expect(await ruleOf('old-1')).toBe(4);
  await run('update user_prop_db.sublessor_call_log_201409 set id = 6000 where id = 5003');
  await payment({ id: '830000000009', callLogId: '6000' });
  const before = await rowsOf('select * from user_prop_db.sublessor_contract');
  const first = await start(money);
  expect(first.named).toEqual([
    { part: 'contracts', id: '11', why: 'a different row exists here: contract_no' },
    { part: 'contracts', id: '12', why: 'contract_no: that of contract 13' },
    { part: 'income', id: '9002', why: 'contract_id: the contract differs from the old system' },
    { part: 'payments', id: named(1), why: 'user_id: the call is of another owner' },
    { part: 'payments', id: named(3), why: 'call_log_id: that of payment 830000000009' },
    {
      part: 'payments',
      id: named(5),
      why: 'a different row exists here: user_id, call_log_id',
    },
    { part: 'payments', id: named(2), why: 'its income differs from the old system' },
  ]);
  expect(await start(money)).toEqual(first);
  expect(await rowsOf('select * from user_prop_db.sublessor_contract')).toEqual(before);
  expect(await income()).toEqual([]);
  expect(await paid()).toEqual([named(5), named(9)]);
});

test('a charge whose call is not in the copy, or has no name there, is named and left out with its income', async () => {
  await history();
  await run(`update ${old}_call_log_201409 set call_id = null where id = 5001`);
  await oldPayment(paymentOf(2), 5_002);
  await start(calls);
  const why = 'call_log_id: the call is not in the copy, or has no name there';
  expect((await start(money)).named).toEqual([
    { part: 'income', id: '9001', why: 'its payment is not copied' },
    { part: 'payments', id: named(1), why },
    { part: 'payments', id: named(2), why },
  ]);
  expect(await paid()).toEqual([]);
});

test('the highest numbers of the copy are not given again, also when their rows are left out', async () => {
  await history();
  await oldCall(5_009, 'old-9');
  await oldPayment(paymentOf(9), 5_009);
  await run(`update ${old}_call_log_201409 set started_at = null where id = 5009`);
  await oldIncome(9_009, paymentOf(9), 11);
  await start(calls);
  await start(money);
  await callLogged();
  await run(`insert into ${log} (user_id, amount_fen, state) values (7001, 4000, 'sent')`);
  const [call] = await rowsOf('select max(id) id from user_prop_db.sublessor_call_log_201409');
  expect(call).toEqual({ id: '5010' });
  expect((await paid()).at(-1)).toBe(named(10));
  await run(`insert into user_prop_db.sublessor_accounting_income_201409
    (payment_id, user_id, amount_fen) values (1, 1, 1)`);
  const [row] = await rowsOf(
    'select max(id) id from user_prop_db.sublessor_accounting_income_201409',
  );
  expect(row).toEqual({ id: '9010' });
});

const callLogged = () =>
  run(`insert into user_prop_db.sublessor_call_log_201409
    (call_id, user_id, caller, callee, status, started_at, duration, caller_digits)
    values ('ours', 7001, '139', '400', 1, now(), 60, '139')`);

test('a charge of the future, or whose id leaves too few above it, is named and left out', async () => {
  await history();
  await oldCall(5_002, 'old-2');
  await oldPayment(paymentOf(2), 5_002);
  await run(`update ${old}_call_payment_log_201409 set created_at = '2099-01-01' where id = ?`, [
    paymentOf(2),
  ]);
  await oldCall(5_003, 'old-3');
  await run(
    `insert into ${old}_call_payment_log_201409
    select 999999999999999999, 5003, null, 7001, 4000, 1, 'charged', 1, null, updated_at, updated_at
    from ${old}_call_payment_log_201409 where id = ?`,
    [paymentOf(1)],
  );
  await start(calls);
  expect((await start(money)).named).toEqual([
    {
      part: 'payments',
      id: named(2),
      why: 'created_at: Expected a time that is not in the future',
    },
    {
      part: 'payments',
      id: '999999999999999999',
      why: 'key: Expected at most 900000000000000000',
    },
  ]);
  expect(await paid()).toEqual([named(1)]);
  await run(`insert into ${log} (user_id, amount_fen, state) values (7001, 4000, 'sent')`);
  expect((await paid()).at(-1)).toBe(named(3));
});

test('a row stamped in the future hides no statement, and an id without room above it is named, when ids are advanced', async () => {
  const { payment: url } = (await workerServers()).simulators;
  const client = payments(
    async () => ({ payment_base_api_url: url, payment_api_timeout: 2_000 }),
    async () => paymentAccount,
  );
  const [{ first, newest } = {}] = await rowsOf(
    'select date(now() - interval 3 day) first, now() - interval 2 day newest',
  );
  const days: string[] = [];
  let trade = named(4);
  const advance = () =>
    advancePaymentIds(
      {
        mysql: db as never,
        firstSwitchOff: async (name) => (name === 'charging' ? name : undefined),
        payments: {
          ...client,
          statementOf: async (day) => {
            days.push(day);
            return day === first
              ? [{ tradeId: trade, userId: '7001', amountFen: 4_000 } as never]
              : [];
          },
        },
      },
      AdvancePaymentIds.parse({ by: 'lena', why: 'restored' }),
      { remaining: () => 200_000, progress: () => {} },
    );
  await payment({ id: named(1), at: String(newest) });
  await payment({ id: named(2), at: '2099-01-01 10:00:00' });
  expect(await advance()).toMatchObject({ outcome: 'advanced', highest_theirs: named(4) });
  expect([days[0], days.length]).toEqual([first, 4]);
  trade = '999999999999999999';
  expect(await advance()).toMatchObject({ outcome: 'advanced', passed_over: [trade] });
  await payment({ id: trade });
  await expect(advance()).rejects.toThrow(`No payment ids are left above ${trade}`);
});

test('of several rows with one call_id the first decides at every run, and the others are named, on one page and across pages', async () => {
  await run(`alter table ${old}_call_log_201409 drop index call_id`);
  await oldCall(1, 'twice', 1);
  await oldCall(2, 'twice', 3);
  await oldCall(3, 'far', 1);
  for (let id = 4; id <= 600; id++) await oldCall(id, `old-${id}`, 2);
  await oldCall(601, 'far', 3);
  const others = [
    { part: 'calls', id: '2', why: 'call_id: that of row 1' },
    { part: 'calls', id: '601', why: 'call_id: that of row 3' },
  ];
  expect(await start(calls)).toMatchObject({ imported: 599, named: others });
  for (const _ of [1, 2]) {
    expect(await start(calls)).toMatchObject({ imported: 0, named: others });
    expect([await ruleOf('twice'), await ruleOf('far')]).toEqual([1, 1]);
  }
});

test('what is answered to be resumed can be resumed when the copy numbers its rows by INT', async () => {
  await history();
  for (const [table, key] of [
    ['call_log_201409', 'id'],
    ['contract', 'contract_id'],
    ['accounting_income_201409', 'id'],
  ])
    await run(`alter table ${old}_${table} modify ${key} int`);
  for (let id = 1; id <= 500; id++) await oldCall(id, `more-${id}`, 2);
  let looks = 0;
  const { resume } = await start(calls, () => (looks++ < 1 ? 60_000 : 0));
  expect(resume).toMatchObject({ after: '500' });
  expect(await start({ ...calls, ...resume })).toMatchObject({ outcome: 'imported', imported: 1 });
  await run(`update ${old}_contract set signed_at = null`);
  expect((await start(money)).named).toEqual([
    { part: 'contracts', id: '11', why: 'signed_at: Expected a time' },
  ]);
});
