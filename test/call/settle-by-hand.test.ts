import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import type { AccountingTables } from '../../lib/call/accounting-tables.ts';
import { settleByHand } from '../../lib/call/hand-settlement.ts';
import { SettleByHand } from '../../lib/call/inputs.ts';
import { payments, signatureOf } from '../../lib/call/payments.ts';
import { callsToCharge, listingSwitches } from '../../lib/call/queues.ts';
import { callSwitches } from '../../lib/call/switches.ts';
import { setSwitch } from '../../lib/platform/kill-switch.ts';
import { mysql } from '../../lib/platform/mysql.ts';
import { switches } from '../../lib/platform/switches.ts';
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

/** Payment log, income and the payment centre's ledger, each as one sum of fen. */
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

/** The differences of today but for contracts, which K3 does not have here. */
async function differences(): Promise<string[]> {
  await reconcile({ from: today }, contextOf(800_000));
  const rows = await rowsOf(
    "select kind, subject from user_prop_db.sublessor_difference where kind not like '%K3%'",
  );
  return rows.map(({ kind, subject }) => `${kind}: ${subject}`);
}

/** A trade of our own under an id, with another text than ours. */
async function tradeInOtherWords(trade_id: string, user_id: string, amount: number) {
  const body = {
    app: paymentAccount.app,
    trade_id,
    user_id: Number(user_id),
    amount,
    reason: 'old',
  };
  await centre.ask('/trade/deduct', { ...body, sign: signatureOf(body, paymentAccount.key) });
}

/** A charge whose answer is 4009, as the id stands for a trade of owner 43. */
async function conflicting() {
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

test('a charge that got 4009 is set free by the statement that lists another trade, and its call is charged under a new id', async () => {
  const call = await conflicting();
  const free = { ...neverSeen, day: today };
  const answer = { payment_id: first, trade: 'done', statement: 'nothing' };
  expect(await settle(neverSeen)).toMatchObject({ outcome: 'not proved', ...answer });
  expect(await settle({ ...free, to: 'charged' })).toMatchObject({
    ...{ outcome: 'not proved', trade: 'done', statement: 'another trade' },
  });
  expect(await states()).toEqual([[first, 'unknown']]);

  expect(await settle(free)).toEqual({ outcome: 'set free', payment_id: first });
  expect(await settle(free)).toMatchObject({ outcome: 'settled before', state: 'refused' });
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
  // The other trade is nobody's here; of the payment that was set free nothing is said.
  expect(await differences()).toEqual([`trade without charge: payment ${first}`]);
  expect(await actions()).toEqual(['charge/settle-by-hand']);
});

test('a charge that got 4009 for its own trade is charged when the statement lists it, and is posted', async () => {
  await account(42, 4_000);
  await contract('11', 9_000, { userId: '42' });
  await tradeInOtherWords(first, '42', 4_000);
  await charge(sqsEvent(await decidedCall(42)), contextOf());
  await age(11);
  expect(await settle({ ...listed, day: '2020-01-01' })).toMatchObject({ outcome: 'not proved' });
  expect(await settle({ ...neverSeen, day: today })).toMatchObject({ outcome: 'not proved' });
  expect(await settle({ ...listed, day: today })).toEqual({
    outcome: 'charged',
    payment_id: first,
  });
  await post();
  expect(await chargeRows()).toMatchObject([{ id: first, state: 'charged', balance_fen: '0' }]);
  expect(await income()).toEqual([[first, '11', 4_000]]);
  expect(await balances()).toEqual([5_000]);
  expect(await sums()).toEqual([4_000, 4_000, 4_000]);
  expect(await bodies(offline)).toEqual([{ userId: '42', paymentId: first, why: 'balance is 0' }]);
  expect(await differences()).toEqual([]);
});

test('a charge that the payment centre has never seen ends refused, and is not sent again', async () => {
  await account(42, 20_000);
  const call = await decidedCall(42);
  await fault('error');
  await charge(sqsEvent(call), contextOf());
  expect(await settle({ ...neverSeen, to: 'refused' })).toMatchObject({
    outcome: 'still being sent',
  });
  await age(11);
  expect(await settle({ ...neverSeen, to: 'charged', day: today })).toMatchObject({
    ...{ outcome: 'not proved', trade: 'never seen' },
  });
  expect(await settle({ ...neverSeen, to: 'refused' })).toMatchObject({ outcome: 'refused' });
  await charge(sqsEvent(call), contextOf());
  expect(await states()).toEqual([[first, 'refused']]);
  expect(await bodies(toCharge)).toEqual([]);
  expect(await bodies(offline)).toEqual([]);
  expect((await ledger()).trades).toEqual([]);
});

/** A charge that is posted, and its reversal that got 4009 because its id stands for another refund. */
async function reversal(balance = 20_000): Promise<void> {
  await account(42, balance);
  await contract('11', 9_000, { userId: '42' });
  await charge(sqsEvent(await decidedCall(42)), contextOf());
  await post();
}
const reverse = () =>
  reverseCharge({ payment_id: first, by: 'lena', why: 'wrong' }, contextOf()).catch(
    ({ message }) => message,
  );

/** A refund of our own under the reversal's id, with another text than ours: the reversal gets 4009. */
async function refundInOtherWords(): Promise<void> {
  const body = { app: paymentAccount.app, trade_id: '820000000001', original_trade_id: first };
  const values = { ...body, amount: 4_000, reason: 'old' };
  await centre.ask('/trade/refund', { ...values, sign: signatureOf(values, paymentAccount.key) });
  await reverse();
  await run('update user_prop_db.sublessor_call_payment_log_201409 set in_hand_until = null');
  await age(11);
}

test('a reversal that got 4009 is set free, and the charge is reversed under a new id', async () => {
  await reversal();
  await account(43, 20_000);
  await client.deduct({ tradeId: '820000000001', userId: '43', amountFen: 700 });
  await reverse();
  await run('update user_prop_db.sublessor_call_payment_log_201409 set in_hand_until = null');
  await age(11);
  const free = { ...neverSeen, payment_id: '820000000001', day: today };
  expect(await settle(free)).toMatchObject({ outcome: 'set free' });
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

test('a reversal that got 4009 for its own refund takes back income and contract together', async () => {
  await reversal();
  await refundInOtherWords();
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

test('listings come online when a reversal that gives money back is ended by hand', async () => {
  await reversal(4_000);
  const wentOffline = await bodies(offline);
  expect(wentOffline).toMatchObject([{ why: 'balance is 0' }]);
  await switchListings(sqsEvent(...wentOffline), contextOf());
  await refundInOtherWords();
  const done = { ...listed, payment_id: '820000000001', day: today };
  expect(await settle(done)).toMatchObject({ outcome: 'charged' });
  const told = await bodies(offline);
  expect(told).toMatchObject([{ user_id: '42', balance: 4_000 }]);
  await switchListings(sqsEvent(...told), contextOf());
  expect(await listingStates()).toEqual(['online']);
});

test('listings stay as they are when a reversal that is ended by hand leaves a debt', async () => {
  await reversal(4_000);
  expect(await bodies(offline)).toHaveLength(1);
  await account(42, -4_000);
  await refundInOtherWords();
  const done = { ...listed, payment_id: '820000000001', day: today };
  expect(await settle(done)).toMatchObject({ outcome: 'charged' });
  expect(await bodies(offline)).toEqual([]);
});

test('listings go offline when a charge that is ended by hand leaves a debt', async () => {
  await account(42, 3_900, false, 100);
  await tradeInOtherWords(first, '42', 4_000);
  await charge(sqsEvent(await decidedCall(42)), contextOf());
  await age(11);
  expect(await settle({ ...listed, day: today })).toMatchObject({ outcome: 'charged' });
  expect(await chargeRows()).toMatchObject([{ state: 'charged', balance_fen: '-100' }]);
  const messages = await bodies(offline);
  expect(messages).toEqual([{ userId: '42', paymentId: first, why: 'balance is 0' }]);
  await switchListings(sqsEvent(...messages), contextOf());
  expect(await listingStates()).toEqual(['offline']);
});

test('listings go offline when a charge that the payment centre refused is ended by hand, because the reason is unknown', async () => {
  await account(42, 0);
  await tradeInOtherWords(first, '42', 4_000);
  await charge(sqsEvent(await decidedCall(42)), contextOf());
  await age(11);
  const refused = { ...neverSeen, to: 'refused', day: today };
  expect(await settle(refused)).toMatchObject({ outcome: 'refused' });
  const messages = await bodies(offline);
  expect(messages).toEqual([{ userId: '42', paymentId: first, why: 'reason unknown' }]);
  await switchListings(sqsEvent(...messages), contextOf());
  expect(await listingStates()).toEqual(['offline']);
});

test('listings stay as they are when a charge is ended by hand as refused because its id is of another trade', async () => {
  await conflicting();
  const refused = { ...neverSeen, to: 'refused', day: today };
  expect(await settle(refused)).toMatchObject({ outcome: 'refused' });
  expect(await bodies(offline)).toEqual([]);
});

test('a reversal that is ended by hand as refused is final: the charge is not reversed again', async () => {
  await reversal();
  await account(43, 20_000);
  await client.deduct({ tradeId: '820000000001', userId: '43', amountFen: 700 });
  await reverse();
  await run('update user_prop_db.sublessor_call_payment_log_201409 set in_hand_until = null');
  await age(11);
  const refused = { ...neverSeen, to: 'refused', payment_id: '820000000001', day: today };
  expect(await settle(refused)).toMatchObject({ outcome: 'refused' });
  expect(await reverse()).toMatchObject({
    ...{ outcome: 'refused before', reversal_id: '820000000001' },
  });
  expect(await states()).toEqual([
    [first, 'charged'],
    ['820000000001', 'refused'],
  ]);
  expect(await income()).toEqual([[first, '11', 4_000]]);
  expect((await ledger()).accounts['42']?.balance).toBe(16_000);
});

const paymentLog = 'user_prop_db.sublessor_call_payment_log_201409';

test('whether a refused reversal is final does not follow from the text of its reason', async () => {
  await reversal();
  await account(43, 20_000);
  await client.deduct({ tradeId: '820000000001', userId: '43', amountFen: 700 });
  await reverse();
  await run(`update ${paymentLog} set in_hand_until = null`);
  await age(11);
  const refused = { ...neverSeen, to: 'refused', payment_id: '820000000001', day: today };
  expect(await settle(refused)).toMatchObject({ outcome: 'refused' });
  await run(`update ${paymentLog} set reason = 'account frozen' where reverses_id is not null`);
  expect(await reverse()).toMatchObject({ outcome: 'refused before' });
  await run(
    `update ${paymentLog} set reason = 'by hand: x', is_final = 0 where reverses_id is not null`,
  );
  expect(await reverse()).toMatchObject({
    ...{ outcome: 'reversed', reversal_id: '820000000002' },
  });
});

test('reversals that were final before the column are so after the migration, and no others', async () => {
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

test('two who settle a charge at once do it once, and what cannot be written whole is not written', async () => {
  await conflicting();
  const free = { ...neverSeen, day: today };
  await run('rename table signalbox.outbox to signalbox.outbox_gone');
  await expect(settle(free)).rejects.toThrow(/outbox/);
  await run('rename table signalbox.outbox_gone to signalbox.outbox');
  expect(await states()).toEqual([[first, 'unknown']]);
  const answers = await Promise.all([settle(free), settle(free)]);
  expect(answers.map(({ outcome }) => outcome)).toContain('set free');
  expect(await bodies(toCharge)).toHaveLength(1);
  expect(await actions()).toEqual(['charge/settle-by-hand']);
});

test('while the payment centre is switched off nothing is settled by hand and it is not asked; afterwards it is', async () => {
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
  const asked: string[] = [];
  let readings = 0;
  const deps = {
    mysql: db,
    settings: async () => ({ stuckAfterMinutes: 10 }),
    deliver: async () => [],
    stopped: switches({ mysql: db as never }, () => (readings += 11_000)),
    payments: {
      ...client,
      tradeOf: async (id: string) => {
        asked.push(id);
        return await client.tradeOf(id);
      },
    },
  };
  const input = SettleByHand.parse({ ...neverSeen, payment_id: first, to: 'free' });
  await turn('off');
  expect(await settleByHand(deps, input)).toEqual({
    ...{ outcome: 'partner/payment is off', payment_id: first },
  });
  expect([asked, await states(), await actions()]).toEqual([
    [],
    [[first, 'unknown']],
    ['switch/off'],
  ]);
  await turn('on');
  expect(await settleByHand(deps, input)).toMatchObject({ outcome: 'set free' });
  expect(asked).toEqual([first]);
});

test('what has ended, or is no payment, is left as it is; a kill switch of the payment centre stops it', async () => {
  const off = { mysql: undefined, stopped: async () => 'partner/payment' } as never;
  expect(await settleByHand(off, SettleByHand.parse(neverSeen))).toMatchObject({
    outcome: 'partner/payment is off',
  });
  await account(42, 20_000);
  await charge(sqsEvent(await decidedCall(42)), contextOf());
  expect(await settle(neverSeen)).toMatchObject({ outcome: 'settled before', state: 'charged' });
  expect(await settle({ ...neverSeen, payment_id: '1' })).toMatchObject({
    outcome: 'no such payment',
  });
  await expect(settle({ ...neverSeen, to: 'charged' })).rejects.toThrow(/day: Expected the day/);
  await expect(settle({ ...neverSeen, proof: ' ' })).rejects.toThrow(/proof/);
});
