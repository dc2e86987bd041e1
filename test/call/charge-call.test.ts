import type { SQSEvent } from 'aws-lambda';
import { beforeEach, describe, expect, test } from 'vitest';
import { payments } from '../../lib/call/partners/payment-centre.ts';
import { callsToCharge, listingSwitches } from '../../lib/call/queues.ts';
import { CallSettings } from '../../lib/call/settings.ts';
import type { CallTables } from '../../lib/call/tables.ts';
import { settings } from '../../lib/platform/lambda/config.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { paymentAccount } from '../../local/secrets.ts';
import {
  account,
  busy,
  chargeRows,
  chargeStates,
  decidedCall,
  fault,
  ledger,
  resetCalls,
} from '../support/calls.ts';
import { rowsOf, run } from '../support/databases.ts';
import { contextOf, eventOf, redelivered, sqsEvent } from '../support/lambda.ts';
import { take, takeDead, testDeadLetterQueue, testQueue } from '../support/queues.ts';

const dead = await testDeadLetterQueue(callsToCharge);
const offline = await testQueue(listingSwitches);
const { handler } = await import('../../functions/call/charge-call.ts');

const charge = async (event: SQSEvent) => redelivered(event, await handler(event, contextOf()));
const messages = async () => (await take(offline)).map(({ Body = '' }) => JSON.parse(Body));
const balance = async (userId: number) => (await ledger()).accounts[userId]?.balance;
const postponed = () =>
  rowsOf(
    "select body, held_by, timestampdiff(second, now(3), due_at) seconds from signalbox.outbox where destination = 'queue:call/charge-call'",
  );

beforeEach(async () => {
  await resetCalls();
  await take(dead);
  await take(offline);
});

describe('call/charge-call', () => {
  describe('happy path', () => {
    test('call/charge-call charges the owner 40 yuan under an id from 820000000000 when the call is valid', async () => {
      await account(42, 10_000);
      const call = await decidedCall(42, { callType: 2 });
      expect(await charge(eventOf('call/charge-call', 'valid'))).toEqual([]);
      expect(await chargeRows()).toMatchObject([
        {
          id: '820000000000',
          call_log_id: call.callLogId,
          reverses_id: null,
          user_id: '42',
          amount_fen: '4000',
          call_type: 2,
          state: 'charged',
          balance_fen: '6000',
          announced: 0,
        },
      ]);
      expect((await ledger()).trades).toMatchObject([
        { trade_id: '820000000000', user_id: '42', amount: 4000, state: 'done' },
      ]);
      expect(await messages()).toEqual([]);
    });

    test('call/charge-call charges the call and queues that listings go offline when the balance becomes 0', async () => {
      await account(42, 4_000);
      await charge(sqsEvent(await decidedCall()));
      expect(await chargeStates()).toEqual([['charged', '0']]);
      expect(await messages()).toMatchObject([{ userId: '42', why: 'balance is 0' }]);
    });

    test('call/charge-call queues that listings go offline when the balance falls below 0', async () => {
      await account(42, 1_000, false, 10_000);
      await charge(sqsEvent(await decidedCall()));
      expect(await chargeStates()).toEqual([['charged', '-3000']]);
      expect(await messages()).toEqual([
        { userId: '42', paymentId: '820000000000', why: 'balance is 0' },
      ]);
    });

    test.each([
      [39.99, '3999'],
      [0.29, '29'],
      [4.35, '435'],
      [1.1, '110'],
      [10_000, '1000000'],
    ])(
      'call/charge-call charges exactly the right fen when the price is %s yuan (%s fen)',
      async (yuan, fen) => {
        await account(42, 2_000_000);
        const { chargeCall } = await import('../../lib/call/charging/charge-call.ts');
        const document = settings('call', CallSettings);
        const deps = {
          mysql: mysql<CallTables>('mysql'),
          settings: async () => ({ ...(await document()), payment_price_per_call: yuan }),
          payments: payments(document, async () => paymentAccount),
          deliver: async () => [],
          firstSwitchOff: async () => undefined,
          now: () => new Date(),
        };
        await chargeCall(deps, await decidedCall());
        expect((await chargeRows()).map(({ amount_fen }) => amount_fen)).toEqual([fen]);
        expect((await ledger()).trades).toMatchObject([{ amount: Number(fen), state: 'done' }]);
      },
    );
  });

  describe('refused', () => {
    test.each([
      { why: 'not enough money', amount: 3_999, frozen: false, balanceFen: '3999' },
      { why: 'account frozen', amount: 9_999, frozen: true, balanceFen: null },
    ])(
      'call/charge-call records a final refusal and queues that listings go offline when the payment centre says: $why',
      async ({ why, amount, frozen, balanceFen }) => {
        await account(42, amount, frozen);
        await charge(sqsEvent(await decidedCall()));
        expect(await chargeRows()).toMatchObject([
          { state: 'refused', balance_fen: balanceFen, reason: why },
        ]);
        expect(await messages()).toEqual([{ userId: '42', paymentId: '820000000000', why }]);
        expect(await balance(42)).toBe(amount);
      },
    );

    test('call/charge-call records a final refusal when the payment centre does not know the account', async () => {
      await charge(sqsEvent(await decidedCall(7)));
      expect(await chargeStates()).toEqual([['refused', null]]);
      expect(await messages()).toMatchObject([{ userId: '7', why: 'unknown account' }]);
    });

    test('call/charge-call dead-letters the message, never queries the charge and takes nothing offline when the payment centre answers 4009', async () => {
      await account(42, 100_000);
      await charge(sqsEvent(await decidedCall()));
      await run('delete from user_prop_db.sublessor_call_payment_log_201409');
      await run(
        'alter table user_prop_db.sublessor_call_payment_log_201409 auto_increment = 820000000000',
      );
      await account(43, 100_000);
      const call = await decidedCall(43);
      await charge(sqsEvent(call));
      expect(await takeDead(dead)).toEqual([
        {
          body: JSON.stringify(call),
          reason: 'payment 820000000000: the payment centre says conflict',
        },
      ]);
      expect(await chargeRows()).toMatchObject([
        { state: 'unknown', ask_at: null, reason: 'the payment centre says conflict' },
      ]);
      expect(await messages()).toEqual([]);
    });

    test('call/charge-call dead-letters a message when its call is not valid, unknown, or of another owner', async () => {
      await account(42, 100_000);
      const undecided = await decidedCall(42, { rule: null });
      const broker = await decidedCall(42, { rule: 5 });
      const other = { ...(await decidedCall(41)), userId: '42' };
      const nothing = { callLogId: '999', userId: '42' };
      expect(await charge(sqsEvent(undecided, broker, other, nothing))).toEqual([]);
      expect((await takeDead(dead)).map(({ reason }) => reason)).toEqual([
        `callLogId: call ${undecided.callLogId} has filter_rule null`,
        `callLogId: call ${broker.callLogId} has filter_rule 5`,
        'callLogId: there is no call 999',
        `userId: call ${other.callLogId} reached another owner`,
      ]);
      expect(await chargeStates()).toEqual([]);
      expect(await balance(42)).toBe(100_000);
    });

    test('call/charge-call postpones the message under the kill switch and inserts no row when charging is switched off', async () => {
      await account(42, 100_000);
      await run(
        "insert into signalbox.switch (name, state, `by`, why) values ('charging', 'off', 'test', 'test')",
      );
      const call = await decidedCall();
      // The handler has cached the switches, so the use case gets a stub.
      const { chargeCall } = await import('../../lib/call/charging/charge-call.ts');
      const firstSwitchOff = async () => 'charging';
      await expect(
        chargeCall({ firstSwitchOff, now: () => new Date(0) } as never, call),
      ).rejects.toMatchObject({ name: 'Postponed', heldBy: 'charging' });
      expect(await chargeStates()).toEqual([]);
    });

    test('call/charge-call inserts charges as intents with their ids and amounts when a charge stop is set for all or for one owner', async () => {
      await account(42, 100_000);
      await account(43, 100_000);
      await run("insert into user_prop_db.charge_stop (scope, why) values ('owner:42', 'test')");
      const calls = [await decidedCall(42), await decidedCall(43)];
      await charge(sqsEvent(...calls, ...calls));
      expect(
        (await chargeRows())
          .map(({ user_id, state, amount_fen }) => [user_id, state, amount_fen])
          .toSorted(),
      ).toEqual([
        ['42', 'intent', '4000'],
        ['43', 'charged', '4000'],
      ]);
      await run("insert into user_prop_db.charge_stop (scope, why) values ('all', 'test')");
      await charge(sqsEvent(await decidedCall(43)));
      expect((await chargeStates()).filter(([state]) => state === 'intent')).toHaveLength(2);
      expect(await balance(42)).toBe(100_000);
    });
  });

  describe('repeated delivery', () => {
    test('call/charge-call charges a call once when its message comes twice, and ten times at once', async () => {
      await account(42, 100_000);
      const call = await decidedCall();
      await charge(sqsEvent(call));
      await charge(sqsEvent(call));
      await charge(sqsEvent(...Array.from({ length: 10 }, () => call)));
      expect(await balance(42)).toBe(96_000);
      expect(await chargeStates()).toEqual([['charged', '96000']]);
    });

    test('call/charge-call charges nothing when a message comes again after 28 days, whatever the result of the charge was', async () => {
      await account(42, 4_500);
      const calls = [await decidedCall(), await decidedCall()];
      for (const call of calls) await charge(sqsEvent(call));
      await run(
        'update user_prop_db.sublessor_call_payment_log_201409 set created_at = created_at - interval 28 day, updated_at = updated_at - interval 28 day, sent_at = sent_at - interval 28 day',
      );
      await account(42, 100_000);
      const before = await chargeStates();
      await charge(sqsEvent(...calls));
      expect(await chargeStates()).toEqual(before);
      expect(await balance(42)).toBe(100_000);
    });
  });

  describe('outage', () => {
    test.each(['lose_answer', 'error'])(
      'call/charge-call leaves the charge unknown, to be queried in five minutes, and takes nothing offline when the trade ends with %s',
      async (mode) => {
        await account(42, 4_000);
        await fault(mode);
        const call = await decidedCall();
        expect(await charge(sqsEvent(call))).toEqual([]);
        expect(await chargeStates()).toEqual([['unknown', null]]);
        const [row] = await rowsOf(
          'select timestampdiff(second, now(3), ask_at) seconds from user_prop_db.sublessor_call_payment_log_201409',
        );
        expect(Number(row?.['seconds'])).toBeGreaterThan(290);
        expect(Number(row?.['seconds'])).toBeLessThanOrEqual(300);
        await charge(sqsEvent(call)); // A repeated delivery does not guess the result.
        expect(await chargeStates()).toEqual([['unknown', null]]);
        expect(await messages()).toEqual([]);
        expect((await ledger()).trades).toHaveLength(mode === 'error' ? 0 : 1);
      },
    );

    test('call/charge-call postpones the same id and amount by one minute, then by two, and takes nothing offline when the payment centre answers 5000', async () => {
      await account(42, 4_500);
      await busy(2);
      const call = await decidedCall();
      await charge(sqsEvent(call));
      expect(await chargeStates()).toEqual([['intent', null]]);
      const [first] = await postponed();
      expect(first?.['body']).toBe(JSON.stringify(call));
      expect(Math.abs(Number(first?.['seconds']) - 60)).toBeLessThan(5);
      await run('delete from signalbox.outbox');
      await charge(sqsEvent(call));
      const [second] = await postponed();
      expect(Math.abs(Number(second?.['seconds']) - 120)).toBeLessThan(5);
      await charge(sqsEvent(call));
      expect(await chargeStates()).toEqual([['charged', '500']]);
      expect(await messages()).toEqual([]);
      expect((await ledger()).trades).toMatchObject([{ trade_id: '820000000000', amount: 4000 }]);
    });
  });
});
