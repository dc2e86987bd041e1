import { beforeEach, describe, expect, test } from 'vitest';
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

/** Charges a call through the payment centre, as call/charge-call does. */
async function makeCharge(): Promise<void> {
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

const setFrozen = (is: boolean) =>
  centre.ask('/__accounts', { user_id: owner, balance: 6_000, frozen: is });

/** Messages to call/switch-listings that platform/deliver-due will send. */
const switchMessages = async () =>
  (
    await rowsOf(
      "select body from signalbox.outbox where destination = 'queue:call/switch-listings'",
    )
  ).map(({ body }) => JSON.parse(String(body)) as Record<string, unknown>);

describe('call/reverse-charge', () => {
  describe('happy path', () => {
    test('call/reverse-charge takes back payment, income and contract balances once, by new entries, when a charge is posted', async () => {
      await contract('11', 3_000);
      await contract('12', 9_000, { signedAt: '2026-11-02 00:00:00' });
      await makeCharge();
      await post();
      expect(await reverse()).toMatchObject({ outcome: 'reversed', reversal_id: '820000000002' });
      expect(await reverse()).toMatchObject({ outcome: 'already-reversed' });
      expect(await reversals()).toEqual([
        {
          id: '820000000002',
          reverses_id: payment_id,
          call_log_id: null,
          amount_fen: '-4000',
          state: 'charged',
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

    test('call/reverse-charge posts the charge and its reversal when the charge is not posted yet', async () => {
      await contract('11', 9_000);
      await makeCharge();
      await reverse();
      await post();
      expect(await income()).toEqual([
        [payment_id, '11', 4_000],
        ['820000000002', '11', -4_000],
      ]);
      expect(await balances()).toEqual([9_000]);
    });

    test('call/reverse-charge allocates the refunded money to other unallocated charges when the contract had paid the charge', async () => {
      await contract('11', 5_000);
      await makeCharge();
      await payment({ id: '820000000010' });
      await payment({ id: '820000000011' });
      await post();
      expect(await balances()).toEqual([0]);
      await reverse();
      expect(await balances()).toEqual([0]);
      const sums =
        await rowsOf(`select payment_id, sum(amount_fen) fen, sum(contract_id is null) waits
    from user_prop_db.sublessor_accounting_income_201409 group by payment_id order by payment_id`);
      expect(sums.map(({ fen, waits }) => [Number(fen), Number(waits)])).toEqual([
        [4_000, 0],
        [4_000, 0],
        [4_000, 1],
        [-4_000, 0],
      ]);
    });

    test('call/post-contract does not pay for an unallocated charge when it was reversed before', async () => {
      await makeCharge();
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

    test('call/reverse-charge makes a new reversal once under a new id when the payment centre refused the first one', async () => {
      await contract('11', 9_000);
      await makeCharge();
      await post();
      await setFrozen(true);
      expect(await reverse()).toMatchObject({ outcome: 'refused', reversal_id: '820000000002' });
      expect(await balances()).toEqual([5_000]);
      await setFrozen(false);
      expect(await reverse()).toMatchObject({ outcome: 'reversed', reversal_id: '820000000003' });
      expect(await reverse()).toMatchObject({ outcome: 'already-reversed' });
      const rows = await rowsOf(`select id, reverses_id, refund_refused_of, state, reason
    from user_prop_db.sublessor_call_payment_log_201409 where amount_fen < 0 order by id`);
      expect(rows).toEqual([
        {
          id: '820000000002',
          reverses_id: null,
          refund_refused_of: payment_id,
          state: 'refused',
          reason: 'account frozen',
        },
        {
          id: '820000000003',
          reverses_id: payment_id,
          refund_refused_of: null,
          state: 'charged',
          reason: wrong.why,
        },
      ]);
      expect((await ledger()).accounts[owner]?.balance).toBe(10_000);
      expect(await refunds()).toMatchObject([
        { state: 'refused' },
        { state: 'done', amount: -4_000 },
      ]);
      expect(await balances()).toEqual([9_000]);
      expect(await income()).toEqual([
        [payment_id, '11', 4_000],
        ['820000000003', '11', -4_000],
      ]);
      expect(await trail()).toEqual([
        'charge/reverse',
        'charge/reversal-refused',
        'charge/reverse',
        'charge/reversed',
      ]);
    });

    test('call/switch-listings switches listings on when a refund leaves the owner money', async () => {
      await makeCharge();
      await run(
        `insert into user_prop_db.sublessor_listings (user_id, cause_at, cause_payment_id, cause, state, request_id)
     values (?, '2026-11-20 10:00:00', ?, 'balance is 0', 'offline', 'offline-1')`,
        [owner, payment_id],
      );
      await reverse();
      const messages = await switchMessages();
      expect(messages).toMatchObject([{ user_id: owner, balance: 10_000 }]);
      await switchListings(sqsEvent(...messages), contextOf());
      expect(await rowsOf('select state from user_prop_db.sublessor_listings')).toEqual([
        { state: 'online' },
      ]);
      await reverse();
      expect(await switchMessages()).toEqual(messages);
    });

    test('call/reverse-charge switches no listings on when the owner is still in debt after the refund', async () => {
      await makeCharge();
      await centre.ask('/__accounts', { user_id: owner, balance: -4_000 });
      expect(await reverse()).toMatchObject({ outcome: 'reversed' });
      expect(await switchMessages()).toEqual([]);
    });
  });

  describe('refused', () => {
    test('call/reverse-charge refuses when the payment is unknown, not charged, or itself a reversal', async () => {
      expect(await reverse()).toMatchObject({ outcome: 'no-such-payment' });
      await payment({ id: payment_id, state: 'unknown' });
      expect(await reverse()).toMatchObject({ outcome: 'not-charged' });
      await run('update user_prop_db.sublessor_call_payment_log_201409 set reverses_id = 1');
      expect(await reverse()).toMatchObject({ outcome: 'is-a-reversal' });
      expect(await trail()).toEqual([]);
    });

    test('call/reverse-charge does not ask the payment centre when its kill switch is off', async () => {
      await makeCharge();
      const deps = {
        mysql: mysql<AccountingTables>('mysql'),
        payments: payments(async () => settings, account),
        firstSwitchOff: async () => 'partner/payment',
      };
      expect(await reverseCharge(deps, ReverseCharge.parse(wrong))).toMatchObject({
        outcome: 'switched-off',
        switch: 'partner/payment',
      });
      expect(await reversals()).toEqual([]);
    });

    test('call/reverse-charge refuses for good when the payment centre has never seen the charge', async () => {
      await payment({ id: payment_id });
      expect(await reverse()).toMatchObject({ outcome: 'refused' });
      expect(await reverse()).toMatchObject({ outcome: 'already-refused' });
      expect(await income()).toEqual([]);
    });

    test('call/reverse-charge refuses its input when `why` is missing or a field is unknown', async () => {
      await expect(handler({ payment_id: '1', by: 'lena' }, contextOf())).rejects.toThrow(/why/);
      await expect(handler({ ...wrong, amount: 1 }, contextOf())).rejects.toThrow(/amount/);
    });

    test('call/reverse-charge reports a conflict and never resumes the reversal when the payment centre knows its id with other values', async () => {
      await makeCharge();
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
  });

  describe('concurrency', () => {
    test('call/reverse-charge makes one refund and one reversal when two run at once', async () => {
      await makeCharge();
      const outcomes = (await Promise.all([reverse(), reverse()])).map(({ outcome }) => outcome);
      expect(outcomes).toContain('reversed');
      expect(await refunds()).toHaveLength(1);
      expect(await reversals()).toHaveLength(1);
    });

    test('call/reverse-charge makes one refund when two run at once after a refusal', async () => {
      await makeCharge();
      await setFrozen(true);
      await reverse();
      await setFrozen(false);
      await Promise.all([reverse(), reverse()]);
      expect((await refunds()).filter(({ state }) => state === 'done')).toHaveLength(1);
      expect((await ledger()).accounts[owner]?.balance).toBe(10_000);
    });
  });

  describe('crash', () => {
    test('call/reverse-charge resumes a reversal after its lease has expired when the first worker crashed during the refund', async () => {
      await makeCharge();
      await run(
        `insert into user_prop_db.sublessor_call_payment_log_201409
      (id, reverses_id, user_id, amount_fen, state, epoch, in_hand_until)
     values (820000000002, ?, ?, -4000, 'sent', 1, now(3) + interval 1 minute)`,
        [payment_id, owner],
      );
      expect(await reverse()).toMatchObject({ outcome: 'leased' });
      await free();
      expect(await reverse()).toMatchObject({ outcome: 'reversed', reversal_id: '820000000002' });
    });

    test('settle-unknown-charges resumes an abandoned reversal', async () => {
      await contract('11', 9_000);
      await makeCharge();
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
  });

  describe('outage', () => {
    test.each(['lose_answer', 'error'])(
      'call/reverse-charge leaves the reversal open and makes it with the same id at the next start when the refund ends with %s',
      async (mode) => {
        await contract('11', 9_000);
        await makeCharge();
        await post();
        await centre.fault(mode, 1, '/trade/refund');
        expect(await reverse()).toMatchObject({ outcome: 'reversal-open' });
        expect(await balances()).toEqual([5_000]);
        expect(await reverse()).toMatchObject({ outcome: 'reversed', reversal_id: '820000000002' });
        expect(await refunds()).toHaveLength(1);
        expect(await balances()).toEqual([9_000]);
      },
    );
  });
});
