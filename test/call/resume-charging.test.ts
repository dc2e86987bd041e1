import { beforeEach, describe, expect, test, vi } from 'vitest';
import { callsToCharge, listingSwitches } from '../../lib/call/queues.ts';
import {
  account,
  chargeRows,
  chargeStates,
  decidedCall,
  ledger,
  resetCalls,
} from '../support/calls.ts';
import { rowsOf, run } from '../support/databases.ts';
import { contextOf, eventOf, sqsEvent } from '../support/lambda.ts';
import { take, testDeadLetterQueue, testQueue } from '../support/queues.ts';

await testDeadLetterQueue(callsToCharge);
const queue = await testQueue(callsToCharge);
await testQueue(listingSwitches);
const { handler } = await import('../../functions/call/resume-charging.ts');
const { handler: charge } = await import('../../functions/call/charge-call.ts');

const resume = (name: string) => handler(eventOf('call/resume-charging', name), contextOf(200_000));
const stops = () => rowsOf('select scope, why from user_prop_db.charge_stop order by scope');
const states = async () => Object.groupBy(await chargeStates(), ([state]) => String(state));

/** Lets call/charge-call consume all messages on the queue. */
async function consumeAll(): Promise<void> {
  const messages = await take(queue);
  for (let start = 0; start < messages.length; start += 10)
    await charge(
      sqsEvent(...messages.slice(start, start + 10).map(({ Body = '' }) => JSON.parse(Body))),
      contextOf(),
    );
}

async function chargeMany(userId: number, count: number): Promise<void> {
  const calls: Awaited<ReturnType<typeof decidedCall>>[] = [];
  for (let n = 0; n < count; n++) calls.push(await decidedCall(userId));
  await Promise.all(
    Array.from({ length: Math.ceil(count / 10) }, (_, n) =>
      charge(sqsEvent(...calls.slice(n * 10, n * 10 + 10)), contextOf()),
    ),
  );
}

beforeEach(async () => {
  await resetCalls();
  await take(queue);
});

describe('call/resume-charging', () => {
  describe('happy path', () => {
    test('call/charge-call sets a charge stop for one owner after exactly 20 charges, and charges other owners, when the owner has more in a minute', async () => {
      await account(42, 1_000_000);
      await account(43, 1_000_000);
      await chargeMany(42, 45);
      expect(await stops()).toEqual([
        { scope: 'owner:42', why: 'more than 20 charges in a minute' },
      ]);
      const { charged, intent } = await states();
      expect([charged?.length, intent?.length]).toEqual([20, 25]);
      await chargeMany(43, 3);
      expect((await states())['charged']).toHaveLength(23);
      expect((await ledger()).trades).toHaveLength(23);
    });

    test('call/resume-charging requeues all waiting charges once, and earlier charges no longer count, when it lifts an owner’s stop', async () => {
      await account(42, 1_000_000);
      await chargeMany(42, 30);
      expect(await resume('owner')).toMatchObject({ outcome: 'lifted', requeued: 10 });
      expect(await stops()).toEqual([]);
      await consumeAll();
      expect(Object.keys(await states())).toEqual(['charged']);
      await chargeMany(42, 5);
      expect(await stops()).toEqual([]);
      expect((await ledger()).accounts['42']?.balance).toBe(1_000_000 - 35 * 4_000);
      expect(await rowsOf('select who, what, why from signalbox.audit')).toEqual([
        { who: 'lena', what: 'charging/resume', why: 'a promotion: the calls are real' },
      ]);
    });

    test('call/resume-charging leaves an owner’s own stop set when it lifts the stop for all', async () => {
      await account(42, 1_000_000);
      await account(43, 1_000_000);
      await run(
        "insert into user_prop_db.charge_stop (scope, why) values ('all', 'test'), ('owner:42', 'test')",
      );
      await chargeMany(42, 2);
      await chargeMany(43, 2);
      expect(await resume('all')).toMatchObject({ outcome: 'lifted', requeued: 2 });
      await consumeAll();
      expect((await chargeRows()).map(({ user_id, state }) => [user_id, state]).toSorted()).toEqual(
        [
          ['42', 'intent'],
          ['42', 'intent'],
          ['43', 'charged'],
          ['43', 'charged'],
        ],
      );
    });

    test('call/charge-call sets a charge stop for all owners after exactly 600 charges when there are more in a minute', async () => {
      vi.setConfig({ testTimeout: 60_000 });
      const owners = Array.from({ length: 40 }, (_, n) => 100 + n);
      for (const owner of owners) await account(owner, 1_000_000);
      // 590 charges of the last minute, as other instances have inserted them.
      await run(`insert into user_prop_db.sublessor_call_payment_log_201409 (call_log_id, user_id, amount_fen, state)
    with recursive n as (select 1 id union all select id + 1 from n where id < 590)
    select -id, -id, 4000, 'charged' from n`);
      for (const owner of owners) await chargeMany(owner, 1);
      expect(await stops()).toEqual([{ scope: 'all', why: 'more than 600 charges in a minute' }]);
      const { charged, intent } = await states();
      expect([charged?.length, intent?.length]).toEqual([600, 30]);
      await resume('all');
      await consumeAll();
      expect((await states())['charged']).toHaveLength(630);
    });
  });

  describe('refused', () => {
    test('call/resume-charging refuses its input when the scope is invalid', async () => {
      await expect(
        handler({ scope: 'owner:x', by: 'lena', why: 'test' }, contextOf()),
      ).rejects.toThrow(/scope/);
    });
  });

  describe('repeated delivery', () => {
    test('call/resume-charging requeues the rest and writes no audit entry when the stop was lifted before', async () => {
      await account(42, 1_000_000);
      await chargeMany(42, 22);
      await resume('owner');
      await take(queue);
      expect(await resume('owner')).toMatchObject({ outcome: 'not-set', requeued: 2 });
      await consumeAll();
      expect(Object.keys(await states())).toEqual(['charged']);
      expect(await rowsOf('select 1 from signalbox.audit')).toHaveLength(1);
    });
  });
});
