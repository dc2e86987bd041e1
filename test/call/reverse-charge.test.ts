import { beforeEach, expect, test } from 'vitest';
import type { AccountingTables } from '../../lib/call/accounting-tables.ts';
import { ReverseCharge } from '../../lib/call/inputs.ts';
import { payments } from '../../lib/call/partners/payment-centre.ts';
import { listingSwitches, signedContracts } from '../../lib/call/queues.ts';
import { resumeReversals, reverseCharge } from '../../lib/call/settlement/reverse-charge.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { balances, contract, income, owner, payment } from '../support/accounting.ts';
import { resetDatabases, rowsOf, run } from '../support/databases.ts';
import { contextOf, eventOf, sqsEvent } from '../support/lambda.ts';
import { partnerOf } from '../support/partners.ts';
import { testDeadLetterQueue } from '../support/queues.ts';

await testDeadLetterQueue(signedContracts);
await testDeadLetterQueue(listingSwitches);
const { handler } = await import('../../functions/call/reverse-charge.ts');
const { handler: postContract } = await import('../../functions/call/post-contract.ts');
const { handler: switchListings } = await import('../../functions/call/switch-listings.ts');
const { handler: postIncome } = await import('../../functions/call/post-income.ts');

const centre = partnerOf('payment');
const account = async () => ({ app: 'signalbox', key: 'payment-local-key' });
const settings = { payment_base_api_url: centre.url, payment_api_timeout: 1_000 };
const wrong = eventOf<{ payment_id: string; why: string }>('call/reverse-charge', 'wrong-charge');
const { payment_id } = wrong;
const reverse = () => handler(wrong, contextOf());
const post = () => postIncome(eventOf('call/post-income', 'minute'), contextOf());
const free = () =>
  run('update user_prop_db.sublessor_call_payment_log_201409 set in_hand_until = null');
const reversals = () =>
  rowsOf(`select id, reverses_id, call_log_id, amount_fen, state
    from user_prop_db.sublessor_call_payment_log_201409 where reverses_id is not null`);
const trail = async () =>
  (await rowsOf('select who, what, why from signalbox.audit order by id')).map(({ what }) => what);

interface Centre {
  readonly accounts: Record<string, { balance: number }>;
  readonly trades: { trade_id: string; amount: number; state: string }[];
}
const ledger = async () => await centre.state<Centre>();
const refunds = async () => (await ledger()).trades.filter(({ amount }) => amount < 0);

/** Charged through the payment centre, as call/charge-call does it. */
async function charged(): Promise<void> {
  const { deduct } = payments(async () => settings, account);
  await centre.ask('/__accounts', { user_id: owner, balance: 10_000 });
  const answer = await deduct({ tradeId: payment_id, userId: owner, amountFen: 4_000 });
  expect(answer).toMatchObject({ is: 'done', balanceFen: 6_000 });
  await payment({ id: payment_id });
}

beforeEach(async () => {
  await resetDatabases();
  await centre.reset();
});

test('payment, income and contract are taken back together, by new entries, and once', async () => {
  await contract('11', 3_000);
  await contract('12', 9_000, { signedAt: '2026-11-02 00:00:00' });
  await charged();
  await post();
  expect(await reverse()).toMatchObject({ outcome: 'reversed', reversal_id: '820000000002' });
  expect(await reverse()).toMatchObject({ outcome: 'reversed before' });
  expect(await reversals()).toEqual([
    {
      ...{ id: '820000000002', reverses_id: payment_id, call_log_id: null },
      ...{ amount_fen: '-4000', state: 'charged' },
    },
  ]);
  expect(await income()).toEqual([
    [payment_id, '11', 3_000],
    [payment_id, '12', 1_000],
    ['820000000002', '11', -3_000],
    ['820000000002', '12', -1_000],
  ]);
  expect(await balances()).toEqual([3_000, 9_000]);
  expect((await ledger()).accounts[owner]?.balance).toBe(10_000);
  expect(await trail()).toEqual(['charge/reverse', 'charge/reversed']);
});

test('two at once: one refund, one reversal', async () => {
  await charged();
  const outcomes = (await Promise.all([reverse(), reverse()])).map(({ outcome }) => outcome);
  expect(outcomes).toContain('reversed');
  expect(await refunds()).toHaveLength(1);
  expect(await reversals()).toHaveLength(1);
});

test('a charge that is not posted yet is posted and taken back', async () => {
  await contract('11', 9_000);
  await charged();
  await reverse();
  await post();
  expect(await income()).toEqual([
    [payment_id, '11', 4_000],
    ['820000000002', '11', -4_000],
  ]);
  expect(await balances()).toEqual([9_000]);
});

test('what a contract gets back pays for what waits, and a reversed charge waits no more', async () => {
  await contract('11', 5_000);
  await charged();
  await payment({ id: '820000000010' });
  await payment({ id: '820000000011' });
  await post();
  expect(await balances()).toEqual([0]);
  await reverse();
  expect(await balances()).toEqual([0]);
  const sums = await rowsOf(`select payment_id, sum(amount_fen) fen, sum(contract_id is null) waits
    from user_prop_db.sublessor_accounting_income_201409 group by payment_id order by payment_id`);
  expect(sums.map(({ fen, waits }) => [Number(fen), Number(waits)])).toEqual([
    [4_000, 0],
    [4_000, 0],
    [4_000, 1],
    [-4_000, 0],
  ]);
});

test('a reversed charge that none covered is not paid by a contract that comes', async () => {
  await charged();
  await post();
  await reverse();
  await payment({ id: '820000000010' });
  await post();
  await postContract(eventOf('call/post-contract', 'signed'), contextOf());
  expect(await income()).toEqual([
    [payment_id, null, 4_000],
    ['820000000002', null, -4_000],
    ['820000000010', '501', 4_000],
  ]);
  expect(await balances()).toEqual([996_000]);
});

test.each(['lose_answer', 'error'])(
  '%s: open, and made with the same id at the next start',
  async (mode) => {
    await contract('11', 9_000);
    await charged();
    await post();
    await centre.fault(mode, 1, '/trade/refund');
    expect(await reverse()).toMatchObject({ outcome: 'open: start it again' });
    expect(await balances()).toEqual([5_000]);
    expect(await reverse()).toMatchObject({ outcome: 'reversed', reversal_id: '820000000002' });
    expect(await refunds()).toHaveLength(1);
    expect(await balances()).toEqual([9_000]);
  },
);

test('killed while the payment centre was asked: the next start waits, then goes on', async () => {
  await charged();
  await run(
    `insert into user_prop_db.sublessor_call_payment_log_201409
      (id, reverses_id, user_id, amount_fen, state, epoch, in_hand_until)
     values (820000000002, ?, ?, -4000, 'sent', 1, now(3) + interval 1 minute)`,
    [payment_id, owner],
  );
  expect(await reverse()).toMatchObject({ outcome: 'in hand' });
  await free();
  expect(await reverse()).toMatchObject({ outcome: 'reversed', reversal_id: '820000000002' });
});

test('a reversal that nobody goes on with is gone on with by itself', async () => {
  await contract('11', 9_000);
  await charged();
  await post();
  await centre.fault('lose_answer', 1, '/trade/refund');
  await reverse();
  const deps = {
    mysql: mysql<AccountingTables>('mysql'),
    payments: payments(async () => settings, account),
    firstSwitchOff: async () => undefined,
  };
  expect(await resumeReversals(deps, { remaining: () => 60_000 })).toBe(1);
  expect(await resumeReversals(deps, { remaining: () => 60_000 })).toBe(0);
  expect(await balances()).toEqual([9_000]);
  expect(await refunds()).toHaveLength(1);
});

test('only what was charged is reversed, and no reversal', async () => {
  expect(await reverse()).toMatchObject({ outcome: 'no such payment' });
  await payment({ id: payment_id, state: 'unknown' });
  expect(await reverse()).toMatchObject({ outcome: 'not charged' });
  await run('update user_prop_db.sublessor_call_payment_log_201409 set reverses_id = 1');
  expect(await reverse()).toMatchObject({ outcome: 'a reversal itself' });
  expect(await trail()).toEqual([]);
});

test('a kill switch keeps it from the payment centre', async () => {
  await charged();
  const deps = {
    mysql: mysql<AccountingTables>('mysql'),
    payments: payments(async () => settings, account),
    firstSwitchOff: async () => 'partner/payment',
  };
  const outcome = 'partner/payment is off';
  expect(await reverseCharge(deps, ReverseCharge.parse(wrong))).toMatchObject({ outcome });
  expect(await reversals()).toEqual([]);
});

test('a charge that the payment centre has never seen is not given back', async () => {
  await payment({ id: payment_id });
  expect(await reverse()).toMatchObject({ outcome: 'refused' });
  expect(await reverse()).toMatchObject({ outcome: 'refused before' });
  expect(await income()).toEqual([]);
});

test('it takes a payment, who and why, and nothing else', async () => {
  await expect(handler({ payment_id: '1', by: 'lena' }, contextOf())).rejects.toThrow(/why/);
  await expect(handler({ ...wrong, amount: 1 }, contextOf())).rejects.toThrow(/amount/);
});

const frozen = (is: boolean) =>
  centre.ask('/__accounts', { user_id: owner, balance: 6_000, frozen: is });

test('a refund that was refused can be made later, under a new id, once', async () => {
  await contract('11', 9_000);
  await charged();
  await post();
  await frozen(true);
  expect(await reverse()).toMatchObject({ outcome: 'refused', reversal_id: '820000000002' });
  expect(await balances()).toEqual([5_000]);
  await frozen(false);
  expect(await reverse()).toMatchObject({ outcome: 'reversed', reversal_id: '820000000003' });
  expect(await reverse()).toMatchObject({ outcome: 'reversed before' });
  const rows = await rowsOf(`select id, reverses_id, refund_refused_of, state, reason
    from user_prop_db.sublessor_call_payment_log_201409 where amount_fen < 0 order by id`);
  expect(rows).toEqual([
    {
      ...{ id: '820000000002', reverses_id: null, refund_refused_of: payment_id },
      ...{ state: 'refused', reason: 'account frozen' },
    },
    {
      ...{ id: '820000000003', reverses_id: payment_id, refund_refused_of: null },
      ...{ state: 'charged', reason: wrong.why },
    },
  ]);
  expect((await ledger()).accounts[owner]?.balance).toBe(10_000);
  expect(await refunds()).toMatchObject([{ state: 'refused' }, { state: 'done', amount: -4_000 }]);
  expect(await balances()).toEqual([9_000]);
  expect(await income()).toEqual([
    [payment_id, '11', 4_000],
    ['820000000003', '11', -4_000],
  ]);
  expect(await trail()).toEqual([
    ...['charge/reverse', 'charge/reversal-refused', 'charge/reverse', 'charge/reversed'],
  ]);
});

test('two at once after a refusal make one refund', async () => {
  await charged();
  await frozen(true);
  await reverse();
  await frozen(false);
  await Promise.all([reverse(), reverse()]);
  expect((await refunds()).filter(({ state }) => state === 'done')).toHaveLength(1);
  expect((await ledger()).accounts[owner]?.balance).toBe(10_000);
});

/** What platform/deliver-due will send. */
const told = async () =>
  (
    await rowsOf(
      "select body from signalbox.outbox where destination = 'queue:call/switch-listings'",
    )
  ).map(({ body }) => JSON.parse(String(body)) as Record<string, unknown>);

test('money that is given back shows the listings again', async () => {
  await charged();
  await run(
    `insert into user_prop_db.sublessor_listings (user_id, cause_at, cause_payment_id, cause, state, request_id)
     values (?, '2026-11-20 10:00:00', ?, 'balance is 0', 'offline', 'offline-1')`,
    [owner, payment_id],
  );
  await reverse();
  const messages = await told();
  expect(messages).toMatchObject([{ user_id: owner, balance: 10_000 }]);
  await switchListings(sqsEvent(...messages), contextOf());
  expect(await rowsOf('select state from user_prop_db.sublessor_listings')).toEqual([
    { state: 'online' },
  ]);
  await reverse();
  expect(await told()).toEqual(messages);
});

test('a refund that leaves a debt shows nothing', async () => {
  await charged();
  await centre.ask('/__accounts', { user_id: owner, balance: -4_000 });
  expect(await reverse()).toMatchObject({ outcome: 'reversed' });
  expect(await told()).toEqual([]);
});

test('a reversal that the payment centre knows otherwise is said, and waits for a person', async () => {
  await charged();
  const { deduct } = payments(async () => settings, account);
  await deduct({ tradeId: '820000000002', userId: owner, amountFen: 1 });
  expect(await reverse()).toMatchObject({ outcome: 'conflict', reversal_id: '820000000002' });
  expect(await reversals()).toMatchObject([{ state: 'unknown' }]);
  expect(await income()).toEqual([]);
  const deps = {
    mysql: mysql<AccountingTables>('mysql'),
    payments: payments(async () => settings, account),
    firstSwitchOff: async () => undefined,
  };
  expect(await resumeReversals(deps, { remaining: () => 60_000 })).toBe(0);
});
