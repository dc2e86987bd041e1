import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import type { AccountingTables } from '../../lib/call/accounting-tables.ts';
import { SettleByHand } from '../../lib/call/inputs.ts';
import { payments, signatureOf } from '../../lib/call/partners/payment-centre.ts';
import { callsToCharge, listingSwitches } from '../../lib/call/queues.ts';
import { settleByHand } from '../../lib/call/settlement/settle-by-hand.ts';
import { callSwitches } from '../../lib/call/switches.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { setSwitch } from '../../lib/platform/operations/set-switch.ts';
import { switches } from '../../lib/platform/operations/switches.ts';
import { root } from '../../local/root.ts';
import { paymentAccount } from '../../local/secrets.ts';
import { balances, contract, income } from '../support/accounting.ts';
import {
  account,
  age,
  chargeRows,
  decidedCall,
  fault,
  ledger,
  resetCalls,
} from '../support/calls.ts';
import { rowsOf, run } from '../support/databases.ts';
import { contextOf, eventOf, sqsEvent } from '../support/lambda.ts';
import { partnerOf } from '../support/partners.ts';
import { take, takeDead, testDeadLetterQueue, testQueue } from '../support/queues.ts';

const dead = await testDeadLetterQueue(callsToCharge);
const toCharge = await testQueue(callsToCharge);
const offline = await testQueue(listingSwitches);
await testDeadLetterQueue(listingSwitches);
const { handler } = await import('../../functions/call/settle-by-hand.ts');
const { handler: charge } = await import('../../functions/call/charge-call.ts');
const { handler: postIncome } = await import('../../functions/call/post-income.ts');
const { handler: reverseCharge } = await import('../../functions/call/reverse-charge.ts');
const { handler: switchListings } = await import('../../functions/call/switch-listings.ts');
const { handler: reconcile } = await import('../../functions/call/reconcile.ts');

const centre = partnerOf('payment');
const client = payments(
  async () => ({ payment_base_api_url: centre.url, payment_api_timeout: 2_000 }),
  async () => paymentAccount,
);
const neverSeen = eventOf<Record<string, unknown>>('call/settle-by-hand', 'never-seen');
const listed = eventOf<Record<string, unknown>>('call/settle-by-hand', 'listed');
const first = '820000000000';
const today = String((await rowsOf('select date(now()) day'))[0]?.['day']);
const settle = (input: Record<string, unknown>) => handler(input, contextOf());
const bodies = async (url: string) => (await take(url)).map(({ Body = '' }) => JSON.parse(Body));
const post = () => postIncome(eventOf('call/post-income', 'minute'), contextOf());
const states = async () => (await chargeRows()).map(({ id, state }) => [id, state]);
const listingStates = async () =>
  (await rowsOf('select state from user_prop_db.sublessor_listings')).map(({ state }) => state);
const actions = async () =>
  (await rowsOf('select what from signalbox.audit order by id')).map(({ what }) => what);

/** Sums in fen of payment log, income and the payment centre's ledger. */
async function sums(): Promise<number[]> {
  const { trades } = await ledger();
  const done = trades.filter(({ state }) => state === 'done');
  const [row] = await rowsOf(`select
    (select coalesce(sum(amount_fen), 0) from user_prop_db.sublessor_call_payment_log_201409
      where state = 'charged') log,
    (select coalesce(sum(amount_fen), 0) from user_prop_db.sublessor_accounting_income_201409) income`);
  return [
    ...[Number(row?.['log']), Number(row?.['income'])],
    done.reduce((sum, { amount }) => sum + amount, 0),
  ];
}

/** Today's differences without those about contracts, which K3 does not have in this test. */
async function differences(): Promise<string[]> {
  await reconcile({ from: today }, contextOf(800_000));
  const rows = await rowsOf(
    "select kind, subject from user_prop_db.sublessor_difference where kind not like '%K3%'",
  );
  return rows.map(({ kind, subject }) => `${kind}: ${subject}`);
}

/** Makes a trade under an id with another text than call/charge-call uses. */
async function makeTradeWithOtherText(trade_id: string, user_id: string, amount: number) {
  const body = {
    app: paymentAccount.app,
    trade_id,
    user_id: Number(user_id),
    amount,
    reason: 'old',
  };
  await centre.ask('/trade/deduct', { ...body, sign: signatureOf(body, paymentAccount.key) });
}

/** Makes a charge that is answered with 4009, because its id belongs to a trade of owner 43. */
async function makeConflictingCharge() {
  await account(42, 20_000);
  await account(43, 20_000);
  await client.deduct({ tradeId: first, userId: '43', amountFen: 700 });
  const call = await decidedCall(42);
  await charge(sqsEvent(call), contextOf());
  expect((await takeDead(dead)).map(({ reason }) => reason)).toEqual([
    `payment ${first}: the payment centre says conflict`,
  ]);
  await age(11);
  return call;
}

beforeEach(async () => {
  await resetCalls();
  for (const url of [dead, toCharge, offline]) await take(url);
});

/** Makes a charge that is posted, for a reversal. */
async function makePostedCharge(balance = 20_000): Promise<void> {
  await account(42, balance);
  await contract('11', 9_000, { userId: '42' });
  await charge(sqsEvent(await decidedCall(42)), contextOf());
  await post();
}
const reverse = () =>
  reverseCharge({ payment_id: first, by: 'lena', why: 'wrong' }, contextOf()).catch(
    ({ message }) => message,
  );

/** Makes a refund under the reversal's id with another text, so that the reversal gets 4009. */
async function makeRefundWithOtherText(): Promise<void> {
  const body = { app: paymentAccount.app, trade_id: '820000000001', original_trade_id: first };
  const values = { ...body, amount: 4_000, reason: 'old' };
  await centre.ask('/trade/refund', { ...values, sign: signatureOf(values, paymentAccount.key) });
  await reverse();
  await run('update user_prop_db.sublessor_call_payment_log_201409 set in_hand_until = null');
  await age(11);
}

const paymentLog = 'user_prop_db.sublessor_call_payment_log_201409';

describe('call/settle-by-hand', () => {
  describe('happy path', () => {
    test('call/settle-by-hand releases a charge that got 4009, and its call is charged under a new id, when the statement lists another trade', async () => {
      const call = await makeConflictingCharge();
      const release = { ...neverSeen, day: today };
      const answer = { payment_id: first, trade: 'done', statement: 'nothing' };
      expect(await settle(neverSeen)).toMatchObject({ outcome: 'not-proven', ...answer });
      expect(await settle({ ...release, to: 'charged' })).toMatchObject({
        outcome: 'not-proven',
        trade: 'done',
        statement: 'another trade',
      });
      expect(await states()).toEqual([[first, 'unknown']]);

      expect(await settle(release)).toEqual({ outcome: 'released', payment_id: first });
      expect(await settle(release)).toMatchObject({ outcome: 'already-settled', state: 'refused' });
      const messages = await bodies(toCharge);
      expect(messages).toEqual([call]);
      for (const message of messages) await charge(sqsEvent(message), contextOf());
      await charge(sqsEvent(call), contextOf());
      expect(await chargeRows()).toMatchObject([
        { id: first, call_log_id: null, freed_call_log_id: call.callLogId, state: 'refused' },
        { id: '820000000001', call_log_id: call.callLogId, state: 'charged', balance_fen: '16000' },
      ]);
      expect((await ledger()).accounts).toMatchObject({
        42: { balance: 16_000 },
        43: { balance: 19_300 },
      });
      await post();
      expect(await sums()).toEqual([4_000, 4_000, 4_700]);
      // No charge of ours has the other trade; the released payment is no difference.
      expect(await differences()).toEqual([`trade without charge: payment ${first}`]);
      expect(await actions()).toEqual(['charge/settle-by-hand']);
    });

    test('call/settle-by-hand ends a charge that got 4009 as charged, and it is posted, when the statement lists its own trade', async () => {
      await account(42, 4_000);
      await contract('11', 9_000, { userId: '42' });
      await makeTradeWithOtherText(first, '42', 4_000);
      await charge(sqsEvent(await decidedCall(42)), contextOf());
      await age(11);
      expect(await settle({ ...listed, day: '2020-01-01' })).toMatchObject({
        outcome: 'not-proven',
      });
      expect(await settle({ ...neverSeen, day: today })).toMatchObject({ outcome: 'not-proven' });
      expect(await settle({ ...listed, day: today })).toEqual({
        outcome: 'charged',
        payment_id: first,
      });
      await post();
      expect(await chargeRows()).toMatchObject([{ id: first, state: 'charged', balance_fen: '0' }]);
      expect(await income()).toEqual([[first, '11', 4_000]]);
      expect(await balances()).toEqual([5_000]);
      expect(await sums()).toEqual([4_000, 4_000, 4_000]);
      expect(await bodies(offline)).toEqual([
        { userId: '42', paymentId: first, why: 'balance is 0' },
      ]);
      expect(await differences()).toEqual([]);
    });

    test('call/settle-by-hand ends a charge as refused, and it is not sent again, when the payment centre has never seen it', async () => {
      await account(42, 20_000);
      const call = await decidedCall(42);
      await fault('error');
      await charge(sqsEvent(call), contextOf());
      expect(await settle({ ...neverSeen, to: 'refused' })).toMatchObject({
        outcome: 'still-being-sent',
      });
      await age(11);
      expect(await settle({ ...neverSeen, to: 'charged', day: today })).toMatchObject({
        outcome: 'not-proven',
        trade: 'never seen',
      });
      expect(await settle({ ...neverSeen, to: 'refused' })).toMatchObject({ outcome: 'refused' });
      await charge(sqsEvent(call), contextOf());
      expect(await states()).toEqual([[first, 'refused']]);
      expect(await bodies(toCharge)).toEqual([]);
      expect(await bodies(offline)).toEqual([]);
      expect((await ledger()).trades).toEqual([]);
    });

    test('call/settle-by-hand releases a reversal that got 4009, and the charge is reversed under a new id, when the statement lists another trade', async () => {
      await makePostedCharge();
      await account(43, 20_000);
      await client.deduct({ tradeId: '820000000001', userId: '43', amountFen: 700 });
      await reverse();
      await run('update user_prop_db.sublessor_call_payment_log_201409 set in_hand_until = null');
      await age(11);
      const release = { ...neverSeen, payment_id: '820000000001', day: today };
      expect(await settle(release)).toMatchObject({ outcome: 'released' });
      expect(await bodies(toCharge)).toEqual([]);
      expect(await reverse()).toMatchObject({ outcome: 'reversed', reversal_id: '820000000002' });
      expect(await income()).toEqual([
        [first, '11', 4_000],
        ['820000000002', '11', -4_000],
      ]);
      expect(await balances()).toEqual([9_000]);
      expect((await ledger()).accounts['42']?.balance).toBe(20_000);
      expect(await differences()).toEqual(['trade without charge: payment 820000000001']);
    });

    test('call/settle-by-hand takes back income and contract balances together when the statement lists the refund of a reversal that got 4009', async () => {
      await makePostedCharge();
      await makeRefundWithOtherText();
      const done = { ...listed, payment_id: '820000000001', day: today };
      expect(await settle(done)).toMatchObject({ outcome: 'charged' });
      expect(await states()).toEqual([
        [first, 'charged'],
        ['820000000001', 'charged'],
      ]);
      expect(await income()).toEqual([
        [first, '11', 4_000],
        ['820000000001', '11', -4_000],
      ]);
      expect(await balances()).toEqual([9_000]);
      expect(await sums()).toEqual([0, 0, 0]);
      expect(await differences()).toEqual([]);
    });

    test('call/switch-listings switches listings on when a reversal that leaves the owner money is settled by hand', async () => {
      await makePostedCharge(4_000);
      const wentOffline = await bodies(offline);
      expect(wentOffline).toMatchObject([{ why: 'balance is 0' }]);
      await switchListings(sqsEvent(...wentOffline), contextOf());
      await makeRefundWithOtherText();
      const done = { ...listed, payment_id: '820000000001', day: today };
      expect(await settle(done)).toMatchObject({ outcome: 'charged' });
      const messages = await bodies(offline);
      expect(messages).toMatchObject([{ user_id: '42', balance: 4_000 }]);
      await switchListings(sqsEvent(...messages), contextOf());
      expect(await listingStates()).toEqual(['online']);
    });

    test('call/settle-by-hand switches no listings when a reversal that it settles leaves the owner in debt', async () => {
      await makePostedCharge(4_000);
      expect(await bodies(offline)).toHaveLength(1);
      await account(42, -4_000);
      await makeRefundWithOtherText();
      const done = { ...listed, payment_id: '820000000001', day: today };
      expect(await settle(done)).toMatchObject({ outcome: 'charged' });
      expect(await bodies(offline)).toEqual([]);
    });

    test('call/switch-listings switches listings off when a charge that is settled by hand leaves the owner in debt', async () => {
      await account(42, 3_900, false, 100);
      await makeTradeWithOtherText(first, '42', 4_000);
      await charge(sqsEvent(await decidedCall(42)), contextOf());
      await age(11);
      expect(await settle({ ...listed, day: today })).toMatchObject({ outcome: 'charged' });
      expect(await chargeRows()).toMatchObject([{ state: 'charged', balance_fen: '-100' }]);
      const messages = await bodies(offline);
      expect(messages).toEqual([{ userId: '42', paymentId: first, why: 'balance is 0' }]);
      await switchListings(sqsEvent(...messages), contextOf());
      expect(await listingStates()).toEqual(['offline']);
    });

    test('call/switch-listings switches listings off for an unknown reason when a charge that the payment centre refused is settled by hand', async () => {
      await account(42, 0);
      await makeTradeWithOtherText(first, '42', 4_000);
      await charge(sqsEvent(await decidedCall(42)), contextOf());
      await age(11);
      const refused = { ...neverSeen, to: 'refused', day: today };
      expect(await settle(refused)).toMatchObject({ outcome: 'refused' });
      const messages = await bodies(offline);
      expect(messages).toEqual([{ userId: '42', paymentId: first, why: 'reason unknown' }]);
      await switchListings(sqsEvent(...messages), contextOf());
      expect(await listingStates()).toEqual(['offline']);
    });

    test('call/settle-by-hand switches no listings when it ends a charge as refused whose id belongs to another trade', async () => {
      await makeConflictingCharge();
      const refused = { ...neverSeen, to: 'refused', day: today };
      expect(await settle(refused)).toMatchObject({ outcome: 'refused' });
      expect(await bodies(offline)).toEqual([]);
    });

    test('call/reverse-charge does not reverse a charge again when its reversal was settled by hand as refused', async () => {
      await makePostedCharge();
      await account(43, 20_000);
      await client.deduct({ tradeId: '820000000001', userId: '43', amountFen: 700 });
      await reverse();
      await run('update user_prop_db.sublessor_call_payment_log_201409 set in_hand_until = null');
      await age(11);
      const refused = { ...neverSeen, to: 'refused', payment_id: '820000000001', day: today };
      expect(await settle(refused)).toMatchObject({ outcome: 'refused' });
      expect(await reverse()).toMatchObject({
        outcome: 'already-refused',
        reversal_id: '820000000001',
      });
      expect(await states()).toEqual([
        [first, 'charged'],
        ['820000000001', 'refused'],
      ]);
      expect(await income()).toEqual([[first, '11', 4_000]]);
      expect((await ledger()).accounts['42']?.balance).toBe(16_000);
    });
  });

  describe('refused', () => {
    test('call/reverse-charge decides by is_final, not by the reason, whether a refused reversal is final', async () => {
      await makePostedCharge();
      await account(43, 20_000);
      await client.deduct({ tradeId: '820000000001', userId: '43', amountFen: 700 });
      await reverse();
      await run(`update ${paymentLog} set in_hand_until = null`);
      await age(11);
      const refused = { ...neverSeen, to: 'refused', payment_id: '820000000001', day: today };
      expect(await settle(refused)).toMatchObject({ outcome: 'refused' });
      await run(`update ${paymentLog} set reason = 'account frozen' where reverses_id is not null`);
      expect(await reverse()).toMatchObject({ outcome: 'already-refused' });
      await run(
        `update ${paymentLog} set reason = 'by hand: x', is_final = 0 where reverses_id is not null`,
      );
      expect(await reverse()).toMatchObject({
        outcome: 'reversed',
        reversal_id: '820000000002',
      });
    });

    test('migration 0039 marks exactly the reversals as final that were final before it', async () => {
      const reasons = {
        'by hand: the ticket 77': 1,
        'the payment centre has never seen the charge': 1,
        'account frozen': 0,
        'reason unknown': 0,
      };
      await run(
        `insert into ${paymentLog} (user_id, amount_fen, state, reason) values (42, 4000, 'refused', 'by hand: a charge')`,
      );
      for (const [index, reason] of Object.keys(reasons).entries())
        await run(
          `insert into ${paymentLog} (reverses_id, user_id, amount_fen, state, reason)
           values (?, 42, -4000, 'refused', ?)`,
          [810_000_000_000 + index, reason],
        );
      const [, update = ''] = readFileSync(
        join(root, 'migrations/0039-final-reversals.sql'),
        'utf8',
      ).split(/^(?=update )/m);
      await run(update);
      expect(await rowsOf(`select reason, is_final from ${paymentLog} order by id`)).toEqual([
        { reason: 'by hand: a charge', is_final: 0 },
        ...Object.entries(reasons).map(([reason, is_final]) => ({ reason, is_final })),
      ]);
    });

    test('call/settle-by-hand does not ask the payment centre while its kill switch is off, and settles the charge when it is on again', async () => {
      await account(42, 20_000);
      await fault('error');
      await charge(sqsEvent(await decidedCall(42)), contextOf());
      await age(11);
      const db = mysql<AccountingTables>('mysql');
      const turn = (state: 'on' | 'off') =>
        setSwitch(
          { mysql: db as never, known: callSwitches },
          { name: 'partner/payment', state, by: 'lena', why: 'it answers nonsense' },
        );
      const queried: string[] = [];
      let readings = 0;
      const deps = {
        mysql: db,
        settings: async () => ({ stuckAfterMinutes: 10 }),
        deliver: async () => [],
        firstSwitchOff: switches({ mysql: db as never }, () => (readings += 11_000)),
        payments: {
          ...client,
          tradeOf: async (id: string) => {
            queried.push(id);
            return await client.tradeOf(id);
          },
        },
      };
      const input = SettleByHand.parse({ ...neverSeen, payment_id: first, to: 'free' });
      await turn('off');
      expect(await settleByHand(deps, input)).toEqual({
        outcome: 'switched-off',
        switch: 'partner/payment',
        payment_id: first,
      });
      expect([queried, await states(), await actions()]).toEqual([
        [],
        [[first, 'unknown']],
        ['switch/off'],
      ]);
      await turn('on');
      expect(await settleByHand(deps, input)).toMatchObject({ outcome: 'released' });
      expect(queried).toEqual([first]);
    });

    test('call/settle-by-hand refuses when the payment is settled or unknown, its input is incomplete, or the kill switch is off', async () => {
      const off = { mysql: undefined, firstSwitchOff: async () => 'partner/payment' } as never;
      expect(await settleByHand(off, SettleByHand.parse(neverSeen))).toMatchObject({
        outcome: 'switched-off',
        switch: 'partner/payment',
      });
      await account(42, 20_000);
      await charge(sqsEvent(await decidedCall(42)), contextOf());
      expect(await settle(neverSeen)).toMatchObject({
        outcome: 'already-settled',
        state: 'charged',
      });
      expect(await settle({ ...neverSeen, payment_id: '1' })).toMatchObject({
        outcome: 'no-such-payment',
      });
      await expect(settle({ ...neverSeen, to: 'charged' })).rejects.toThrow(
        /day: Expected the day/,
      );
      await expect(settle({ ...neverSeen, proof: ' ' })).rejects.toThrow(/proof/);
    });
  });

  describe('concurrency', () => {
    test('call/settle-by-hand settles a charge once when two run at once, and writes nothing when one of its writes fails', async () => {
      await makeConflictingCharge();
      const release = { ...neverSeen, day: today };
      await run('rename table signalbox.outbox to signalbox.outbox_gone');
      await expect(settle(release)).rejects.toThrow(/outbox/);
      await run('rename table signalbox.outbox_gone to signalbox.outbox');
      expect(await states()).toEqual([[first, 'unknown']]);
      const answers = await Promise.all([settle(release), settle(release)]);
      expect(answers.map(({ outcome }) => outcome)).toContain('released');
      expect(await bodies(toCharge)).toHaveLength(1);
      expect(await actions()).toEqual(['charge/settle-by-hand']);
    });
  });
});
