import type { SQSEvent } from 'aws-lambda';
import { beforeEach, expect, test } from 'vitest';
import { postContract } from '../../lib/call/accounting/post-contract.ts';
import type { AccountingTables } from '../../lib/call/accounting-tables.ts';
import { k3 as k3Client } from '../../lib/call/partners/k3.ts';
import { SignedContract, signedContracts } from '../../lib/call/queues.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { accountSet } from '../../local/simulators/k3.ts';
import { balances, income, payment } from '../support/accounting.ts';
import { resetDatabases, rowsOf, run } from '../support/databases.ts';
import { contextOf, eventOf, redelivered, sqsEvent } from '../support/lambda.ts';
import { partnerOf } from '../support/partners.ts';
import { take, takeDead, testDeadLetterQueue } from '../support/queues.ts';

const dead = await testDeadLetterQueue(signedContracts);
const { handler } = await import('../../functions/call/post-contract.ts');
const { handler: postIncome } = await import('../../functions/call/post-income.ts');

const k3 = partnerOf('k3');
const signed = eventOf<SQSEvent>('call/post-contract', 'signed');
const body: Record<string, unknown> = JSON.parse(signed.Records[0]?.body ?? '');
const handle = (event: SQSEvent) => handler(event, contextOf());
const changed = (change: object) => handle(sqsEvent({ ...body, ...change }));

interface Held {
  readonly contracts: Record<string, { customer: string; amount: number; KDAccount: string }>;
}
const inK3 = async () => Object.values((await k3.state<Held>()).contracts);
const ours = async () =>
  (
    await rowsOf(`select c.customer, c.status, p.bill_no, p.message
      from user_prop_db.sublessor_contract c join user_prop_db.sublessor_contract_posting p
      using (contract_id)`)
  )[0];
const free = () => run('update user_prop_db.sublessor_contract_posting set held_until = null');

beforeEach(async () => {
  await resetDatabases();
  await k3.reset();
  await take(dead);
});

test('the same contract twice, and two at once, is one contract and one bill', async () => {
  await Promise.all([handle(signed), handle(signed)]);
  await handle(signed);
  expect(await ours()).toMatchObject({ status: 'posted', bill_no: 'XSHT000001' });
  expect(await inK3()).toMatchObject([{ amount: 1_000_000, KDAccount: accountSet }]);
  expect(await balances()).toEqual([1_000_000]);
  expect(await takeDead(dead)).toEqual([]);
});

test('what waited for a contract is paid from it, in the order of the charges', async () => {
  for (const id of ['101', '102', '103']) await payment({ id });
  await postIncome(eventOf('call/post-income', 'minute'), contextOf());
  await changed({ amount_fen: 9_000 });
  expect(await income()).toEqual([
    ['101', '501', 4_000],
    ['102', '501', 4_000],
    ['103', '501', 1_000],
    ['103', null, 3_000],
  ]);
  expect(await balances()).toEqual([0]);
  await changed({ contract_id: 502, contract_no: 'DYZ-2026-0502', amount_fen: 5_000 });
  expect((await income()).at(-1)).toEqual(['103', '502', 3_000]);
  expect(await balances()).toEqual([0, 2_000]);
  await handle(signed);
  expect(await balances()).toEqual([0, 2_000]);
});

test('what waited is paid in the order of the charges, and not in that in which they were posted', async () => {
  const post = () => postIncome(eventOf('call/post-income', 'minute'), contextOf());
  await payment({ id: '101', state: 'sent' });
  for (const id of ['103', '102']) await payment({ id, amountFen: id === '102' ? 2_501 : 3_999 });
  await post();
  await run(
    "update user_prop_db.sublessor_call_payment_log_201409 set state = 'charged' where id = 101",
  );
  await post();
  const posted = await rowsOf(
    'select payment_id from user_prop_db.sublessor_accounting_income_201409 order by id',
  );
  expect(posted.map(({ payment_id }) => payment_id)).toEqual(['102', '103', '101']);
  await changed({ amount_fen: 5_003 });
  expect(await income()).toEqual([
    ['101', '501', 4_000],
    ['102', '501', 1_003],
    ['102', null, 1_498],
    ['103', null, 3_999],
  ]);
});

test('a lost answer: posted again, the same bill', async () => {
  await k3.fault('lose_answer', 2);
  await handle(signed);
  expect(await ours()).toMatchObject({ status: 'open', bill_no: null });
  await free();
  await handle(signed);
  expect(await ours()).toMatchObject({ status: 'posted', bill_no: 'XSHT000001' });
  expect(await inK3()).toHaveLength(1);
});

test('K3 away: put off, nothing is set aside, the contract pays already', async () => {
  await k3.fault('error', 2);
  const result = await handle(signed);
  expect(redelivered(signed, result)).toEqual([]);
  expect(await rowsOf('select destination from signalbox.outbox')).toEqual([
    { destination: 'queue:call/post-contract' },
  ]);
  expect(await balances()).toEqual([1_000_000]);
});

test('K3 refuses: it waits for a person, who sends it again with the right customer', async () => {
  await k3.fault('refuse', 1);
  await handle(signed);
  expect(await ours()).toMatchObject({ status: 'refused', message: '客户不存在' });
  expect(await rowsOf('select * from signalbox.outbox')).toEqual([]);
  await changed({ customer: '上海大业置业（集团）有限公司' });
  expect(await ours()).toMatchObject({
    status: 'posted',
    customer: '上海大业置业（集团）有限公司',
  });
  await handle(signed); // The first message once more, weeks later.
  expect(await inK3()).toMatchObject([{ customer: '上海大业置业（集团）有限公司' }]);
  expect(await takeDead(dead)).toEqual([]);
});

test('put right in K3 itself, the same message posts it', async () => {
  await k3.fault('refuse', 1);
  await handle(signed);
  await handle(signed);
  expect(await ours()).toMatchObject({ status: 'posted', message: null });
});

test('a wrong account set is refused, byte for byte', async () => {
  const url = async () => ({ k3_url: k3.url });
  const deps = { mysql: mysql<AccountingTables>('mysql'), k3: k3Client(url) };
  const outcomeOf = async (KDAccount: string) =>
    await postContract(
      { ...deps, settings: async () => ({ KDAccount }), firstSwitchOff: async () => undefined },
      SignedContract.parse(body),
    );
  expect(await outcomeOf('瑞庭(上海)1117 aaa')).toMatchObject({ outcome: 'refused' });
  expect(await ours()).toMatchObject({ message: '账套不存在：瑞庭(上海)1117 aaa' });
  expect(await outcomeOf('瑞庭（上海）1117 aaa')).toMatchObject({ outcome: 'posted' });
});

test('a refusal of K3 is cut to the column, a character of four bytes whole', async () => {
  const deps = {
    mysql: mysql<AccountingTables>('mysql'),
    k3: k3Client(async () => ({ k3_url: k3.url })),
  };
  const KDAccount = `${'x'.repeat(493)}😀😀`;
  await postContract(
    { ...deps, settings: async () => ({ KDAccount }), firstSwitchOff: async () => undefined },
    SignedContract.parse(body),
  );
  expect(await ours()).toMatchObject({ message: `账套不存在：${'x'.repeat(493)}😀` });
});

test('other content under the same id, or another id under the same number, is set aside', async () => {
  await handle(signed);
  await changed({ amount_fen: 1_000_001 });
  await changed({ customer: '别的公司' });
  await changed({ contract_id: 502 });
  expect((await takeDead(dead)).map(({ reason }) => reason)).toEqual([
    'Contract 501 is stored with other values: amount_fen is 1000000, not 1000001',
    'Contract 501 is stored with other values: customer is 上海大业置业有限公司, not 别的公司',
    'Contract 502 is stored with other values: contract_id is 501, not 502',
  ]);
  expect(await balances()).toEqual([1_000_000]);
});

test('a contract for four thousand waiting charges is taken in, in portions, and holds no account for long', async () => {
  await run(
    `set session cte_max_recursion_depth = 5000;
     insert into user_prop_db.sublessor_accounting_income_201409 (payment_id, contract_id, user_id, amount_fen)
     with recursive n as (select 1 i union all select i + 1 from n where i < 4000)
     select 830000000000 + i, null, ?, 4000 + i % 3 from n order by i desc`,
    [body['user_id']],
  );
  const startedAt = Date.now();
  expect(redelivered(signed, await changed({ amount_fen: 10_000_001 }))).toEqual([]);
  expect(Date.now() - startedAt).toBeLessThan(10_000);
  expect(await balances()).toEqual([0]);
  const paid = (await income()).filter(([, contract]) => contract === '501');
  const sum = paid.reduce((total, [, , fen]) => total + Number(fen), 0);
  expect(sum).toBe(10_000_001);
  expect(paid.map(([id]) => Number(id))).toEqual(
    Array.from(paid, (_, index) => 830_000_000_001 + index),
  );
  const all = (await income()).reduce((total, [, , fen]) => total + Number(fen), 0);
  expect(all).toBe(
    Array.from({ length: 4_000 }, (_, i) => 4_000 + ((i + 1) % 3)).reduce((a, b) => a + b),
  );
  expect(await rowsOf('select allocate_since from user_prop_db.sublessor_account')).toEqual([
    { allocate_since: null },
  ]);
});

test('contract numbers compare byte for byte', async () => {
  await handle(signed);
  const contract_no = `${body['contract_no']} `;
  await changed({ contract_id: 502, contract_no });
  expect(await takeDead(dead)).toEqual([]);
  expect(await balances()).toEqual([1_000_000, 1_000_000]);
});
