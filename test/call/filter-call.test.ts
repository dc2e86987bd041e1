import type { SQSEvent } from 'aws-lambda';
import fc from 'fast-check';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { filterCall, filterSwitch } from '../../lib/call/filtering/filter-call.ts';
import { callsToCharge, FinishedCall, finishedCalls } from '../../lib/call/queues.ts';
import { resetCalls } from '../support/calls.ts';
import { rowsOf, run, upstreamBroker } from '../support/databases.ts';
import { contextOf, eventOf, redelivered, sqsEvent } from '../support/lambda.ts';
import { take, takeDead, testDeadLetterQueue, testQueue } from '../support/queues.ts';

const dead = await testDeadLetterQueue(finishedCalls);
const valid = await testQueue(callsToCharge);
const { handler } = await import('../../functions/call/filter-call.ts');

const filter = async (event: SQSEvent) => redelivered(event, await handler(event, contextOf()));
let calls = 0;
const call = (changed: Record<string, unknown> = {}) => {
  calls += 1;
  return {
    call_id: `c${calls}`,
    routing_key: 'postcallinfo_dyz',
    caller: '13812345678',
    callee: '4008208820',
    user_id: 42,
    status: 1,
    started_at: '2026-11-20 10:00:00',
    duration: 61,
    ...changed,
  };
};
const logged = () => rowsOf('select * from user_prop_db.sublessor_call_log_201409 order by id');
const rules = async () => (await logged()).map(({ filter_rule }) => filter_rule);
const charged = async () =>
  (await take(valid)).map(({ Body = '' }) => JSON.parse(Body).callLogId).toSorted();
const broker = (phone: string, digits: string) =>
  run('insert into user_prop_db.broker_phone (broker_id, phone, digits) values (7, ?, ?)', [
    phone,
    digits,
  ]);

/** Delivers each call in a batch of its own, so that the order of decisions is fixed. */
async function filterInOrder(...ones: readonly Record<string, unknown>[]) {
  for (const one of ones) expect(await filter(sqsEvent(one))).toEqual([]);
}

beforeEach(async () => {
  await resetCalls();
  await take(dead);
  await take(valid);
});

const base = Date.UTC(2026, 10, 29);
const daySeconds = 86_400;
const arrival = fc.record({
  /** Often in the same second as another call, or exactly at a limit. */
  seconds: fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(0, 0, 0, 1, 86_399, 86_400, 86_401, 172_800) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 3 * daySeconds }) },
  ),
  status: fc.constantFrom(1, 1, 1, 0),
  duration: fc.constantFrom(8, 9),
  user_id: fc.constantFrom(42, 42, 42, 43),
  caller: fc.constantFrom('13812345678', '+86 138 1234 5678', '013812345678', '13900000007'),
});

type Arrival = typeof arrival extends fc.Arbitrary<infer Value> ? Value : never;

/** Computes the rule of each call directly from the requirements, in the order of the decisions. */
function expectedRules(calls: readonly Arrival[], brokerFrom: number) {
  const decided: { pair: string; seconds: number; status: number; rule: number }[] = [];
  for (const [index, { seconds, status, duration, user_id, caller }] of calls.entries()) {
    const digits = caller.replace(/^\+86/, '').replaceAll(' ', '').replace(/^0/, '');
    const pair = `${user_id} ${digits}`;
    const near = decided.some(
      (other) =>
        other.pair === pair &&
        ((other.status === 1 && isWithinADay(other.seconds, seconds)) ||
          (other.rule === 1 && isWithinADay(seconds, other.seconds))),
    );
    const isBroker = digits === '13900000007' && index >= brokerFrom;
    const rule = status !== 1 ? 2 : duration <= 8 ? 3 : near ? 4 : isBroker ? 5 : 1;
    decided.push({ pair, seconds, status, rule });
  }
  return decided.map(({ rule }) => rule);
}

const isWithinADay = (from: number, to: number) => to >= from && to - from < daySeconds;

describe('call/filter-call', () => {
  describe('happy path', () => {
    test('call/filter-call recognises a broker whose row has not changed for years when it decides the very first call', async () => {
      await upstreamBroker(7, { stamp: '2020-01-01 00:00:00', mobile: '+86 138-1234-5678' });
      await filterInOrder(call());
      expect(await rules()).toEqual([5]);
      expect(await charged()).toEqual([]);
    });

    test('call/filter-call logs the call with its rule and decision, and queues its charge, when the call is valid', async () => {
      await filter(eventOf('call/filter-call', 'valid'));
      const [row] = await logged();
      expect(row).toMatchObject({
        call_id: '400-20261120-000001',
        user_id: '42',
        caller: '13812345678',
        callee: '4008208820',
        status: 1,
        started_at: '2026-11-20 10:00:00',
        duration: 61,
        call_type: 1,
        filter_rule: 1,
        caller_digits: '13812345678',
      });
      expect(row?.['decision']).toMatchObject({ filterRule: 1, rules: { length: 4 } });
      expect((await take(valid)).map(({ Body }) => Body)).toEqual([
        `{"callLogId":"${row?.['id']}","userId":"42"}`,
      ]);
    });

    test('call/filter-call logs the call type and decides as usual when the call is a call-back', async () => {
      await filter(eventOf('call/filter-call', 'call-back'));
      expect(await logged()).toMatchObject([{ call_type: 2, filter_rule: 1 }]);
    });

    test('call/filter-call stores the first rule that applies, in the order not connected, too short, called before, broker, when several apply', async () => {
      await broker('138-0000-0001', '13800000001');
      const unique = (caller: string, changed = {}) => call({ caller, ...changed });
      await filterInOrder(
        unique('13800000002', { status: 0, duration: 0 }),
        unique('13800000003', { duration: 8 }),
        unique('13800000003', { duration: 60, started_at: '2026-11-20 10:00:05' }),
        unique('+86 13800000001'),
        unique('013800000001', { started_at: '2026-11-20 11:00:00' }),
        unique('13800000001', { started_at: '2026-11-20 12:00:00', duration: 5 }),
      );
      expect(await rules()).toEqual([2, 3, 4, 5, 4, 3]);
      expect(await charged()).toEqual([]);
    });

    test.each([
      { seconds: 86_399, expected: [1, 4] },
      { seconds: 86_400, expected: [1, 1] },
      { seconds: 86_401, expected: [1, 1] },
    ])(
      'call/filter-call stores the rules $expected when a second call starts $seconds s later in the next month',
      async ({ seconds, expected }) => {
        const later = new Date(Date.parse('2026-11-30T20:00:00Z') + seconds * 1000);
        const started_at = later.toISOString().slice(0, 19).replace('T', ' ');
        await filterInOrder(call({ started_at: '2026-11-30 20:00:00' }), call({ started_at }));
        expect(await rules()).toEqual(expected);
      },
    );

    test('call/filter-call finds calls valid when each has another owner or another caller', async () => {
      await filterInOrder(call(), call({ user_id: 43 }), call({ caller: '13912345678' }));
      expect(await rules()).toEqual([1, 1, 1]);
    });

    test('call/filter-call compares a call with calls before and after it when calls arrive out of order', async () => {
      await filterInOrder(
        call({ started_at: '2026-11-20 12:00:00' }),
        call({ started_at: '2026-11-19 12:00:01' }),
        call({ started_at: '2026-11-19 12:00:00' }),
        call({ started_at: '2026-11-21 11:59:59' }),
      );
      // The third is exactly a day before the first, and before the second, which was not valid.
      expect(await rules()).toEqual([1, 4, 1, 4]);
    });

    test('call/filter-call keeps earlier decisions when a caller becomes known as a broker', async () => {
      await filterInOrder(call());
      await broker('13812345678', '13812345678');
      await filterInOrder(call({ started_at: '2026-11-25 10:00:00' }));
      expect(await rules()).toEqual([1, 5]);
    });

    test('call/filter-call logs separate calls when their call_ids differ only in case, trailing blanks or width', async () => {
      const names = ['X1', 'X1 ', 'x1', 'Ｘ1'];
      await filterInOrder(
        ...names.map((call_id, index) => call({ call_id, caller: `1381234567${index}` })),
      );
      expect((await logged()).map(({ call_id }) => call_id)).toEqual(names);
      expect(await rules()).toEqual([1, 1, 1, 1]);
      expect(await charged()).toHaveLength(4);
      expect(await takeDead(dead)).toEqual([]);
    });

    test('call/filter-call ignores an earlier call of the pair when that call is undecided', async () => {
      await filterInOrder(call({ started_at: '2026-11-20 09:00:00' }));
      await run('update user_prop_db.sublessor_call_log_201409 set filter_rule = null');
      await filterInOrder(call());
      expect(await rules()).toEqual([null, 1]);
    });

    test.each([
      ['connected and too short', { duration: 8 }, 4],
      ['connected and valid', {}, 4],
      ['not connected', { status: 0 }, 1],
    ])(
      'call/filter-call decides a call by an earlier one of the same second when the earlier one is %s',
      async (_, first, rule) => {
        await filterInOrder(call(first), call());
        expect((await rules()).at(-1)).toBe(rule);
      },
    );

    test('call/filter-call queues exactly the charges that the requirements demand when calls arrive in any order', async () => {
      vi.setConfig({ testTimeout: 60_000 });
      const arrivals = fc.array(arrival, { minLength: 2, maxLength: 8 });
      await fc.assert(
        fc.asyncProperty(arrivals, fc.nat({ max: 8 }), async (calls, brokerFrom) => {
          await run('delete from user_prop_db.sublessor_call_log_201409');
          await run('delete from user_prop_db.broker_phone');
          await take(valid);
          for (const [index, { seconds, ...rest }] of calls.entries()) {
            if (index === brokerFrom) await broker('139-0000-0007', '13900000007');
            const at = new Date(base + seconds * 1000).toISOString().slice(0, 19);
            await filterInOrder(call({ started_at: at.replace('T', ' '), ...rest }));
          }
          expect(await rules()).toEqual(expectedRules(calls, brokerFrom));
          const ids = (await logged()).filter(({ filter_rule }) => filter_rule === 1);
          expect(await charged()).toEqual(ids.map(({ id }) => id).toSorted());
        }),
        { numRuns: 25 },
      );
    });
  });

  describe('refused', () => {
    test('call/filter-call dead-letters the message with the field as its reason, and logs nothing, when a field is wrong', async () => {
      await filter(eventOf('call/filter-call', 'ten-bad'));
      expect((await takeDead(dead)).map(({ reason }) => reason)).toEqual([
        'call_id: Too small: expected string to have >=1 characters',
        'call_type: Invalid option: expected one of 1|2',
        'callee: Too small: expected string to have >=1 characters',
        'caller: Expected a telephone number',
        'duration: Too small: expected number to be >=0',
        'routing_key: unknown another; configured: postcallinfo_dyz',
        'started_at: Expected a time of this century',
        'started_at: Expected a time that exists',
        'status: Invalid input: expected number, received string',
        'user_id: Too small: expected number to be >0',
      ]);
      expect(await logged()).toEqual([]);
    });

    test('call/filter-call keeps the first message and dead-letters the second when two messages with one call_id differ', async () => {
      const first = call();
      await filterInOrder(first, { ...first, duration: 1, user_id: 43 });
      expect(await logged()).toMatchObject([{ duration: 61, user_id: '42', filter_rule: 1 }]);
      expect(await charged()).toHaveLength(1);
      expect(await takeDead(dead)).toMatchObject([
        {
          reason: `Call ${first.call_id} is known with other values: user_id is 42, not 43; duration is 61, not 1`,
        },
      ]);
    });

    test.each([
      ['caller', { caller: '13912345678' }, 'caller is 138****5678, not 139****5678'],
      ['callee', { callee: '4008208821' }, 'callee is 400****8820, not 400****8821'],
      ['owner', { user_id: 43 }, 'user_id is 42, not 43'],
      [
        'day',
        { started_at: '2026-11-21 10:00:00' },
        'started_at is 2026-11-20 10:00:00, not 2026-11-21 10:00:00',
      ],
      ['status', { status: 0 }, 'status is 1, not 0'],
      ['type', { call_type: 2 }, 'call_type is 1, not 2'],
    ])(
      'call/filter-call dead-letters a call when its call_id is known with another %s',
      async (_, changed, why) => {
        const first = call();
        await filterInOrder(first, { ...first, ...changed }, first);
        expect(await rules()).toEqual([1]);
        expect(await charged()).toHaveLength(1);
        expect(await takeDead(dead)).toMatchObject([
          { reason: `Call ${first.call_id} is known with other values: ${why}` },
        ]);
      },
    );

    test('call/filter-call postpones the message and logs nothing when its kill switch is off', async () => {
      const deps = {
        firstSwitchOff: async (...names: readonly string[]) =>
          names.find((name) => name === filterSwitch),
        requireBrokersKnown: async () => {},
      } as never;
      const one = FinishedCall.parse(call());
      await expect(filterCall(deps, one)).rejects.toMatchObject({
        name: 'Postponed',
        heldBy: 'call/filter-call',
      });
      expect(await logged()).toEqual([]);
    });
  });

  describe('repeated delivery', () => {
    test('call/filter-call accepts a repeated call when its numbers are spelt in another way', async () => {
      const first = call();
      await filterInOrder(first, { ...first, caller: '+86 138-1234-5678', callee: '400-820-8820' });
      expect(await rules()).toEqual([1]);
      expect(await takeDead(dead)).toEqual([]);
    });

    test('call/filter-call compares only owner and start when the known call was imported', async () => {
      const first = call();
      await filterInOrder(first);
      await run(
        `update user_prop_db.sublessor_call_log_201409 set decision = '{"imported": true}', caller = '1', callee = '2'`,
      );
      await filterInOrder(first, { ...first, user_id: 43 });
      expect((await takeDead(dead)).map(({ reason }) => reason)).toEqual([
        `Call ${first.call_id} is known with other values: user_id is 42, not 43`,
      ]);
    });
  });

  describe('concurrency', () => {
    test('call/filter-call logs one call and queues one charge when its message comes ten times at once', async () => {
      const one = call();
      await filter(sqsEvent(...Array.from({ length: 10 }, () => one)));
      expect(await rules()).toEqual([1]);
      expect(await charged()).toHaveLength(1);
    });

    test('call/filter-call finds exactly one call valid when ten calls of one pair within a day are delivered at once', async () => {
      const ones = Array.from({ length: 10 }, (_, index) =>
        call({
          started_at: `2026-11-20 1${index % 5}:00:00`,
          caller: index % 2 ? '13812345678' : '8613812345678',
        }),
      );
      expect(await filter(sqsEvent(...ones))).toEqual([]);
      const all = await rules();
      expect(all.filter((rule) => rule === 1)).toHaveLength(1);
      expect(all.filter((rule) => rule === 4)).toHaveLength(9);
      expect(await charged()).toHaveLength(1);
    });
  });

  describe('crash', () => {
    test('call/filter-call decides a logged call with its next delivery when the first one failed before the decision', async () => {
      const one = call();
      await run('rename table user_prop_db.broker_phone to user_prop_db.gone');
      try {
        expect(await filter(sqsEvent(one))).toEqual([0]);
        expect(await rules()).toEqual([null]);
      } finally {
        await run('rename table user_prop_db.gone to user_prop_db.broker_phone');
      }
      await filterInOrder(one);
      expect(await rules()).toEqual([1]);
      expect(await charged()).toHaveLength(1);
    });
  });
});
