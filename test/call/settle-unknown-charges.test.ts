import { beforeEach, describe, expect, test } from 'vitest';
import type { AccountingTables } from '../../lib/call/accounting-tables.ts';
import { payments } from '../../lib/call/partners/payment-centre.ts';
import { callsToCharge, listingSwitches } from '../../lib/call/queues.ts';
import { CallSettings } from '../../lib/call/settings.ts';
import { settleUnknownCharges } from '../../lib/call/settlement/settle-unknown-charges.ts';
import { callSwitches } from '../../lib/call/switches.ts';
import type { CallTables } from '../../lib/call/tables.ts';
import { settings } from '../../lib/platform/lambda/config.ts';
import type { OutboxRow } from '../../lib/platform/messaging/outbox.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { setSwitch } from '../../lib/platform/operations/set-switch.ts';
import { switches } from '../../lib/platform/operations/switches.ts';
import { paymentAccount } from '../../local/secrets.ts';
import {
  account,
  age,
  busy,
  chargeRows,
  chargeStates,
  decidedCall,
  fault,
  ledger,
  resetCalls,
} from '../support/calls.ts';
import { rowsOf, run } from '../support/databases.ts';
import { contextOf, eventOf, sqsEvent } from '../support/lambda.ts';
import { take, testDeadLetterQueue, testQueue } from '../support/queues.ts';

await testDeadLetterQueue(callsToCharge);
const toCharge = await testQueue(callsToCharge);
const offline = await testQueue(listingSwitches);
const { handler } = await import('../../functions/call/settle-unknown-charges.ts');
const { handler: charge } = await import('../../functions/call/charge-call.ts');

const settle = () =>
  handler(eventOf('call/settle-unknown-charges', 'five-minutes'), contextOf(200_000));
const bodies = async (url: string) => (await take(url)).map(({ Body = '' }) => JSON.parse(Body));
const table = 'user_prop_db.sublessor_call_payment_log_201409';

/** Makes a charge whose answer was lost, after the trade was done or before. */
async function makeUnknownCharge(mode: 'lose_answer' | 'error') {
  const call = await decidedCall();
  await fault(mode);
  await charge(sqsEvent(call), contextOf());
  return call;
}

beforeEach(async () => {
  await resetCalls();
  await take(toCharge);
  await take(offline);
});

/** Makes a run of settlement with the real kill switches, which are read again at each check. */
function settlement(client = payments(settings('call', CallSettings), async () => paymentAccount)) {
  const db = mysql<AccountingTables>('mysql');
  let readings = 0;
  const firstSwitchOff = switches({ mysql: db as never }, () => (readings += 11_000));
  const queried: string[] = [];
  const deps = {
    mysql: db,
    settings: settings('call', CallSettings),
    firstSwitchOff,
    now: () => new Date(),
    deliver: async () => [],
    payments: {
      ...client,
      tradeOf: async (id: string) => {
        queried.push(id);
        return await client.tradeOf(id);
      },
    },
  };
  return { queried, run: () => settleUnknownCharges(deps, { remaining: () => 200_000 }) };
}

const turnSwitch = (name: string, state: 'on' | 'off') =>
  setSwitch(
    { mysql: mysql('mysql'), known: callSwitches },
    { name, state, by: 'test', why: 'to see what waits' },
  );

/** Makes a charge that was never seen there, an intent, an undecided call and a reversal without an answer. */
async function makeEverythingOpen() {
  await account(42, 100_000);
  const charged = await decidedCall(42);
  await charge(sqsEvent(charged), contextOf());
  await makeUnknownCharge('error');
  const waiting = await decidedCall(42);
  await run(
    `insert into ${table} (id, call_log_id, user_id, amount_fen, state, announced)
     values (820000000002, ?, 42, 4000, 'intent', 0)`,
    [waiting.callLogId],
  );
  await run(
    `insert into ${table} (id, reverses_id, user_id, amount_fen, state, reason)
     values (820000000003, 820000000000, 42, -4000, 'sent', 'wrong')`,
  );
  await decidedCall(42, { rule: null });
  await run(
    'update user_prop_db.sublessor_call_log_201409 set created_at = created_at - interval 11 minute',
  );
  await age(11);
}

const requeued = async () =>
  (await rowsOf("select 1 from signalbox.outbox where destination = 'queue:call/charge-call'"))
    .length;

/** Makes a charged call, an intent without a message, and a reversal whose id is another trade there. */
async function makeConflictingReversal(): Promise<void> {
  await account(42, 100_000);
  const made = await decidedCall();
  await charge(sqsEvent(made), contextOf());
  const waiting = await decidedCall();
  await run(
    `insert into ${table} (id, call_log_id, user_id, amount_fen, state, announced)
     values (820000000001, ?, 42, 4000, 'intent', 0)`,
    [waiting.callLogId],
  );
  const client = payments(settings('call', CallSettings), async () => paymentAccount);
  // The id of the reversal belongs to another trade there.
  await client.deduct({ tradeId: '820000000002', userId: '42', amountFen: 1 });
  await run(
    `insert into ${table} (id, reverses_id, user_id, amount_fen, state, reason)
     values (820000000002, 820000000000, 42, -4000, 'sent', 'wrong')`,
  );
}

describe('call/settle-unknown-charges', () => {
  describe('happy path', () => {
    test('call/settle-unknown-charges queries a charge whose answer was lost when five minutes have passed, not before', async () => {
      await account(42, 10_000);
      await makeUnknownCharge('lose_answer');
      await settle();
      expect(await chargeStates()).toEqual([['unknown', null]]);
      await age(5);
      await settle();
      expect(await chargeStates()).toEqual([['charged', '6000']]);
      expect((await ledger()).accounts['42']?.balance).toBe(6_000);
    });

    test('call/settle-unknown-charges sends a charge again with the same id and amount when the payment centre has never seen it', async () => {
      await account(42, 10_000);
      await makeUnknownCharge('error');
      await run('update user_prop_db.sublessor_call_payment_log_201409 set amount_fen = 3900'); // As if the price had changed since.
      await age(5);
      await settle();
      expect(await chargeStates()).toEqual([['charged', '6100']]);
      expect((await ledger()).trades).toMatchObject([{ trade_id: '820000000000', amount: 3900 }]);
      expect(await take(offline)).toEqual([]);
    });

    test('call/settle-unknown-charges takes listings offline only when it learns that a charge was refused or left no money', async () => {
      await account(42, 4_000);
      await makeUnknownCharge('lose_answer');
      await makeUnknownCharge('lose_answer');
      expect(await bodies(offline)).toEqual([]);
      await age(5);
      await settle();
      expect((await chargeStates()).map(([state]) => state)).toEqual(['charged', 'refused']);
      expect((await bodies(offline)).map(({ why }) => why).toSorted()).toEqual([
        'balance is 0',
        'not enough money',
      ]);
    });

    test('call/settle-unknown-charges requeues an intent once in ten minutes with its original message when no message is pending for it', async () => {
      const call = await decidedCall();
      await run(
        `insert into ${table} (call_log_id, user_id, amount_fen, state, announced) values (?, 42, 4000, 'intent', 0)`,
        [call.callLogId],
      );
      await settle();
      expect(await take(toCharge)).toEqual([]);
      await age(11);
      await settle();
      await settle();
      expect((await take(toCharge)).map(({ Body }) => Body)).toEqual([JSON.stringify(call)]);
    });

    test('call/settle-unknown-charges decides a call and queues its charge when the call was logged but not decided', async () => {
      const call = await decidedCall(42, { rule: null });
      await settle();
      expect(await take(toCharge)).toEqual([]);
      await run(
        'update user_prop_db.sublessor_call_log_201409 set created_at = created_at - interval 11 minute',
      );
      await settle();
      expect(await bodies(toCharge)).toEqual([call]);
    });

    test('call/settle-unknown-charges publishes one event per charge, in the transaction that marks its row, when a call was charged', async () => {
      await account(42, 10_000);
      const { callLogId } = await decidedCall();
      await charge(sqsEvent({ callLogId, userId: '42' }), contextOf());
      const announced: OutboxRow[] = [];
      const deps = {
        mysql: mysql<CallTables>('mysql'),
        settings: settings('call', CallSettings),
        firstSwitchOff: async () => undefined,
        deliver: async (rows: readonly OutboxRow[]) => {
          announced.push(...rows);
          return [...rows];
        },
      };
      const settleHere = () => settleUnknownCharges(deps as never, { remaining: () => 200_000 });
      await run('rename table signalbox.outbox to signalbox.outbox_gone');
      await expect(settleHere()).rejects.toThrow(/outbox/);
      await run('rename table signalbox.outbox_gone to signalbox.outbox');
      expect((await chargeRows())[0]?.['announced']).toBe(0);
      await settleHere();
      await settleHere();
      expect((await chargeRows())[0]?.['announced']).toBe(1);
      expect(announced.map(({ destination, body }) => [destination, JSON.parse(body)])).toEqual([
        [
          'event:call/charged',
          { paymentId: '820000000000', callLogId, userId: '42', amountFen: 4000 },
        ],
      ]);
    });

    test.each([
      ['account frozen', async () => account(42, 100_000, true)],
      ['unknown account', async () => undefined],
      ['not enough money', async () => account(42, 3_999)],
    ])(
      'call/settle-unknown-charges learns the reason of a refusal when its answer was lost and the owner topped up since (%s)',
      async (why, refusing) => {
        await refusing();
        await makeUnknownCharge('lose_answer');
        await account(42, 100_000);
        await age(5);
        await settle();
        expect(await chargeRows()).toMatchObject([{ state: 'refused', reason: why }]);
        expect(await bodies(offline)).toEqual([{ userId: '42', paymentId: '820000000000', why }]);
        expect(await ledger()).toMatchObject({
          accounts: { 42: { balance: 100_000 } },
          trades: [{ trade_id: '820000000000', state: 'refused' }],
        });
      },
    );
  });

  describe('refused', () => {
    test('call/settle-unknown-charges does not requeue an intent when a charge stop is set or its message is postponed', async () => {
      const [one, two] = [await decidedCall(42), await decidedCall(43)];
      for (const { callLogId, userId } of [one, two])
        await run(
          `insert into ${table} (call_log_id, user_id, amount_fen, state, announced, ask_at)
       values (?, ?, 4000, 'intent', 0, if(? = 43, now() + interval 20 minute, null))`,
          [callLogId, userId, userId],
        );
      await run("insert into user_prop_db.charge_stop (scope, why) values ('owner:42', 'test')");
      await age(11);
      await settle();
      expect(await take(toCharge)).toEqual([]);
      await age(20);
      await settle();
      expect(await bodies(toCharge)).toEqual([two]);
    });

    test('call/settle-unknown-charges sends no charge again when a charge stop is set', async () => {
      await account(42, 10_000);
      await makeUnknownCharge('error');
      await run("insert into user_prop_db.charge_stop (scope, why) values ('all', 'test')");
      await age(5);
      await settle();
      expect(await chargeStates()).toEqual([['unknown', null]]);
      expect((await ledger()).trades).toEqual([]);
      await run('delete from user_prop_db.charge_stop');
      await age(60);
      await settle();
      expect(await chargeStates()).toEqual([['charged', '6000']]);
    });

    test('call/settle-unknown-charges records a refusal with an unknown reason when charging is switched off', async () => {
      await account(42, 100_000, true);
      await makeUnknownCharge('lose_answer');
      await age(5);
      const deps = {
        mysql: mysql<AccountingTables>('mysql'),
        settings: settings('call', CallSettings),
        payments: payments(settings('call', CallSettings), async () => paymentAccount),
        firstSwitchOff: async (...names: readonly string[]) =>
          names.find((name) => name === 'charging'),
        deliver: async () => [],
        now: () => new Date(),
      };
      await settleUnknownCharges(deps, { remaining: () => 200_000 });
      expect(await chargeRows()).toMatchObject([{ state: 'refused', reason: 'reason unknown' }]);
      const rows = await rowsOf('select body from signalbox.outbox');
      expect(rows.map(({ body }) => JSON.parse(String(body)))).toEqual([
        { userId: '42', paymentId: '820000000000', why: 'reason unknown' },
      ]);
    });

    test.each([
      {
        name: 'partner/payment',
        // Neither the charge nor the reversal is queried, and no intent is requeued.
        while: {
          states: ['charged', 'unknown', 'intent', 'sent'],
          queried: 0,
          open: 0,
          requeued: 0,
        },
      },
      {
        name: 'charging',
        // The charge is not sent again; the refund is made, because it is not a charge.
        while: {
          states: ['charged', 'unknown', 'intent', 'charged'],
          queried: 1,
          open: 0,
          requeued: 0,
        },
      },
      {
        name: 'call/filter-call',
        while: {
          states: ['charged', 'charged', 'intent', 'charged'],
          queried: 1,
          open: 1,
          requeued: 1,
        },
      },
    ])(
      'call/settle-unknown-charges skips what the kill switch $name stops, does the rest, and catches up when it is on again',
      async ({ name, while: expected }) => {
        await makeEverythingOpen();
        await turnSwitch(name, 'off');
        const { queried, run: settleNow } = settlement();
        const seen = async () => ({
          states: (await chargeStates()).map(([state]) => state),
          queried: queried.length,
          open: (
            await rowsOf(
              'select 1 from user_prop_db.sublessor_call_log_201409 where filter_rule is null',
            )
          ).length,
          requeued: await requeued(),
        });
        await settleNow();
        expect(await seen()).toEqual(expected);
        await turnSwitch(name, 'on');
        await age(61);
        await settleNow();
        expect(await seen()).toMatchObject({
          states: ['charged', 'charged', 'intent', 'charged'],
          open: 0,
          requeued: expect.toSatisfy((count: number) => count >= 1),
        });
      },
    );

    test('call/settle-unknown-charges makes no further queries when the kill switch is turned off during a run', async () => {
      await account(42, 100_000);
      for (let count = 0; count < 9; count++) await makeUnknownCharge('error');
      await age(11);
      const client = payments(settings('call', CallSettings), async () => paymentAccount);
      const { queried, run: settleNow } = settlement({
        ...client,
        tradeOf: async (id) => {
          await turnSwitch('partner/payment', 'off');
          return await client.tradeOf(id);
        },
      });
      await settleNow();
      // The queries that were in flight before the first answer.
      expect(queried.length).toBeLessThanOrEqual(4);
      const states = (await chargeStates()).map(([state]) => state);
      expect(states).toEqual(Array.from({ length: 9 }, () => 'unknown'));
      await turnSwitch('partner/payment', 'on');
    });

    test('call/settle-unknown-charges makes no further decisions when the filter’s kill switch is turned off during a run', async () => {
      for (let count = 0; count < 4; count++) await decidedCall(42, { rule: null });
      await run(`update user_prop_db.sublessor_call_log_201409
    set created_at = created_at - interval 11 minute`);
      const [db, document] = [mysql<AccountingTables>('mysql'), settings('call', CallSettings)];
      let looks = 0;
      const deps = {
        mysql: db,
        settings: document,
        deliver: async () => [],
        now: () => new Date(),
        payments: payments(document, async () => paymentAccount),
        firstSwitchOff: async (...names: readonly string[]) =>
          names.find((name) => name === 'call/filter-call' && ++looks > 2),
      };
      expect(await settleUnknownCharges(deps, { remaining: () => 200_000 })).toMatchObject({
        decided: 2,
      });
      const left = 'select 1 from user_prop_db.sublessor_call_log_201409 where filter_rule is null';
      expect(await rowsOf(left)).toHaveLength(2);
    });

    test('call/settle-unknown-charges leaves a reversal to a person and settles everything else when the reversal is answered with 4009', async () => {
      await makeConflictingReversal();
      await age(11);
      await settle();
      const left = await chargeRows();
      expect(left.map(({ id, state, announced }) => [id, state, announced])).toEqual([
        ['820000000000', 'charged', 1],
        ['820000000001', 'intent', 0],
        ['820000000002', 'unknown', 1],
      ]);
      expect(left[2]).toMatchObject({ ask_at: null, reason: 'the payment centre says conflict' });
      expect(await take(toCharge)).toHaveLength(1);
      await age(60);
      await settle(); // The reversal is not requested again.
      const after = await chargeRows();
      expect(after[2]).toMatchObject({ state: 'unknown', epoch: left[2]?.['epoch'] });
      expect((await ledger()).accounts['42']?.balance).toBe(95_999);
    });
  });

  describe('concurrency', () => {
    test('call/settle-unknown-charges settles a charge once when two runs and a repeated message overlap', async () => {
      await account(42, 10_000);
      const call = await makeUnknownCharge('error');
      await age(5);
      await Promise.all([settle(), settle(), charge(sqsEvent(call), contextOf())]);
      expect(await chargeStates()).toEqual([['charged', '6000']]);
      expect((await ledger()).trades).toHaveLength(1);
    });

    test('call/settle-unknown-charges makes one trade when the charge that it sends again arrives twice', async () => {
      await account(42, 10_000);
      await makeUnknownCharge('error');
      await age(5);
      await fault('duplicate');
      await settle();
      expect(await chargeStates()).toEqual([['charged', '6000']]);
      expect((await ledger()).trades).toHaveLength(1);
    });
  });

  describe('crash', () => {
    test('call/settle-unknown-charges queries a charge after ten minutes when its sender crashed', async () => {
      await account(42, 10_000);
      const call = await decidedCall();
      await run(
        `insert into ${table} (call_log_id, user_id, amount_fen, state, announced) values (?, 42, 4000, 'sent', 0)`,
        [call.callLogId],
      );
      await settle();
      expect((await chargeStates())[0]?.[0]).toBe('sent');
      await age(11);
      await settle();
      expect(await chargeStates()).toEqual([['charged', '6000']]);
    });
  });

  describe('outage', () => {
    test('call/settle-unknown-charges keeps the charge as an intent, and it is made once, when the payment centre says "later" after a lost answer', async () => {
      await account(42, 10_000);
      const call = await makeUnknownCharge('error');
      await age(5);
      await busy(1);
      await settle();
      expect(await chargeStates()).toEqual([['intent', null]]);
      expect((await ledger()).trades).toEqual([]);
      await age(41);
      await settle();
      expect(await bodies(toCharge)).toEqual([call]);
      await charge(sqsEvent(call, call), contextOf());
      expect(await chargeStates()).toEqual([['charged', '6000']]);
      expect((await ledger()).trades).toMatchObject([{ trade_id: '820000000000', amount: 4_000 }]);
    });

    test('call/settle-unknown-charges records one trade as charged when the answers to the trade and to the first query are lost', async () => {
      await account(42, 10_000);
      await makeUnknownCharge('lose_answer');
      await age(5);
      await fault('lose_answer', { path: '/trade/8' });
      await settle();
      expect(await chargeStates()).toEqual([['unknown', null]]);
      await age(61);
      await settle();
      expect(await chargeStates()).toEqual([['charged', '6000']]);
      expect((await ledger()).trades).toHaveLength(1);
    });

    test('call/settle-unknown-charges queries a charge after five minutes, then hourly, then daily, when it gets no answer', async () => {
      await account(42, 10_000);
      await makeUnknownCharge('lose_answer');
      await age(5);
      const next = async () => {
        const [row] = await rowsOf(
          `select asked, round(timestampdiff(second, now(3), ask_at) / 60) minutes from ${table}`,
        );
        return [row?.['asked'], Number(row?.['minutes'])];
      };
      await fault('error', { path: '/trade/8', times: 3 });
      await settle();
      expect(await next()).toEqual([1, 60]);
      await settle();
      expect(await next()).toEqual([1, 60]);
      await age(60);
      await settle();
      expect(await next()).toEqual([2, 60]);
      await run(`update ${table} set asked = 24`);
      await age(60);
      await settle();
      expect(await next()).toEqual([25, 1440]);
      await age(1_440);
      await settle();
      expect(await chargeStates()).toEqual([['charged', '6000']]);
    });

    test('call/settle-unknown-charges requeues the charge until it is made when the payment centre answers 5000 for an hour', async () => {
      await account(42, 10_000);
      await busy(100);
      const call = await decidedCall();
      await charge(sqsEvent(call), contextOf());
      for (let minute = 0; minute < 60; minute += 12) {
        await age(12);
        await settle();
        for (const message of await bodies(toCharge)) await charge(sqsEvent(message), contextOf());
        expect((await chargeStates())[0]?.[0]).toBe('intent');
      }
      await busy(0);
      await charge(sqsEvent(call), contextOf());
      expect(await chargeStates()).toEqual([['charged', '6000']]);
      expect((await chargeRows())[0]?.['epoch']).toBeGreaterThan(3);
    });

    test('call/settle-unknown-charges takes no listings offline when the reason of a refusal cannot be queried yet', async () => {
      await account(42, 100_000, true);
      await makeUnknownCharge('lose_answer');
      await age(5);
      await fault('error');
      await settle();
      expect(await chargeStates()).toEqual([['unknown', null]]);
      expect(await bodies(offline)).toEqual([]);
      await age(60);
      await busy(1);
      await settle();
      await age(60);
      await settle();
      expect(await chargeRows()).toMatchObject([{ state: 'refused', reason: 'account frozen' }]);
    });

    test('call/settle-unknown-charges settles charges and publishes events when a call cannot be decided', async () => {
      await account(42, 100_000);
      await makeUnknownCharge('lose_answer');
      const stuck = await decidedCall(43, { rule: null });
      await age(11);
      await run(
        'update user_prop_db.sublessor_call_log_201409 set created_at = created_at - interval 11 minute',
      );
      await run('rename table user_prop_db.broker_phone to user_prop_db.broker_phone_gone');
      await expect(settle()).rejects.toThrow(/broker_phone/);
      await run('rename table user_prop_db.broker_phone_gone to user_prop_db.broker_phone');
      expect(await chargeRows()).toMatchObject([{ state: 'charged', announced: 1 }]);
      await settle();
      expect(await bodies(toCharge)).toEqual([stuck]);
    });
  });
});
