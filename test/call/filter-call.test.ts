import type { SQSEvent } from 'aws-lambda';
import fc from 'fast-check';
import { beforeEach, expect, test, vi } from 'vitest';
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
    ...{ call_id: `c${calls}`, routing_key: 'postcallinfo_dyz' },
    ...{ caller: '13812345678', callee: '4008208820', user_id: 42 },
    ...{ status: 1, started_at: '2026-11-20 10:00:00', duration: 61, ...changed },
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

/** Each in a batch of its own, so that the order of their decisions is known. */
async function filterInOrder(...ones: readonly Record<string, unknown>[]) {
  for (const one of ones) expect(await filter(sqsEvent(one))).toEqual([]);
}

beforeEach(async () => {
  await resetCalls();
  await take(dead);
  await take(valid);
});

test('the first call of all finds the brokers that have not changed for years', async () => {
  await upstreamBroker(7, { stamp: '2020-01-01 00:00:00', mobile: '+86 138-1234-5678' });
  await filterInOrder(call());
  expect(await rules()).toEqual([5]);
  expect(await charged()).toEqual([]);
});

test('writes the call down with its rule, and why; a valid one goes on', async () => {
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

test('a call-back goes the same way, with its type', async () => {
  await filter(eventOf('call/filter-call', 'call-back'));
  expect(await logged()).toMatchObject([{ call_type: 2, filter_rule: 1 }]);
});

test('each wrong field is named, and nothing of the call is written', async () => {
  await filter(eventOf('call/filter-call', 'ten-bad'));
  expect((await takeDead(dead)).map(({ reason }) => reason)).toEqual([
    'call_id: Too small: expected string to have >=1 characters',
    'call_type: Invalid option: expected one of 1|2',
    'callee: Too small: expected string to have >=1 characters',
    'caller: Expected a telephone number',
    'duration: Too small: expected number to be >=0',
    'routing_key: another is none of ours',
    'started_at: Expected a time of this century',
    'started_at: Expected a time that exists',
    'status: Invalid input: expected number, received string',
    'user_id: Too small: expected number to be >0',
  ]);
  expect(await logged()).toEqual([]);
});

test('unconnected, too short, called before and broker each have their rule, in that order', async () => {
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
  'a second call after $seconds s: $expected, across the end of a month',
  async ({ seconds, expected }) => {
    const later = new Date(Date.parse('2026-11-30T20:00:00Z') + seconds * 1000);
    const started_at = later.toISOString().slice(0, 19).replace('T', ' ');
    await filterInOrder(call({ started_at: '2026-11-30 20:00:00' }), call({ started_at }));
    expect(await rules()).toEqual(expected);
  },
);

test('another owner, and another caller, are another pair', async () => {
  await filterInOrder(call(), call({ user_id: 43 }), call({ caller: '13912345678' }));
  expect(await rules()).toEqual([1, 1, 1]);
});

test('late arrivals: an earlier call finds the valid one after it, and a third between them its neighbours', async () => {
  await filterInOrder(
    call({ started_at: '2026-11-20 12:00:00' }),
    call({ started_at: '2026-11-19 12:00:01' }),
    call({ started_at: '2026-11-19 12:00:00' }),
    call({ started_at: '2026-11-21 11:59:59' }),
  );
  // The third is exactly a day before the first, and before the second, which was not valid.
  expect(await rules()).toEqual([1, 4, 1, 4]);
});

test('a number that is learnt to be a broker’s changes nothing that was decided', async () => {
  await filterInOrder(call());
  await broker('13812345678', '13812345678');
  await filterInOrder(call({ started_at: '2026-11-25 10:00:00' }));
  expect(await rules()).toEqual([1, 5]);
});

test('of two messages about one call the first stands, and another second one is rejected by name', async () => {
  const first = call();
  await filterInOrder(first, { ...first, duration: 1, user_id: 43 });
  expect(await logged()).toMatchObject([{ duration: 61, user_id: '42', filter_rule: 1 }]);
  expect(await charged()).toHaveLength(1);
  expect(await takeDead(dead)).toMatchObject([
    {
      reason: `Call ${first.call_id} is known otherwise: user_id is 42, not 43; duration is 61, not 1`,
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
])('another call under a known call_id, by its %s, is rejected', async (_, changed, why) => {
  const first = call();
  await filterInOrder(first, { ...first, ...changed }, first);
  expect(await rules()).toEqual([1]);
  expect(await charged()).toHaveLength(1);
  expect(await takeDead(dead)).toMatchObject([
    { reason: `Call ${first.call_id} is known otherwise: ${why}` },
  ]);
});

test('the same call with its numbers written in another way is the same call', async () => {
  const first = call();
  await filterInOrder(first, { ...first, caller: '+86 138-1234-5678', callee: '400-820-8820' });
  expect(await rules()).toEqual([1]);
  expect(await takeDead(dead)).toEqual([]);
});

test('names of calls compare byte for byte: case and trailing blanks make another call', async () => {
  const names = ['X1', 'X1 ', 'x1', 'Ｘ1'];
  await filterInOrder(
    ...names.map((call_id, index) => call({ call_id, caller: `1381234567${index}` })),
  );
  expect((await logged()).map(({ call_id }) => call_id)).toEqual(names);
  expect(await rules()).toEqual([1, 1, 1, 1]);
  expect(await charged()).toHaveLength(4);
  expect(await takeDead(dead)).toEqual([]);
});

test('a call that was imported is compared by owner and start: the old system writes numbers its own way', async () => {
  const first = call();
  await filterInOrder(first);
  await run(
    `update user_prop_db.sublessor_call_log_201409 set decision = '{"imported": true}', caller = '1', callee = '2'`,
  );
  await filterInOrder(first, { ...first, user_id: 43 });
  expect((await takeDead(dead)).map(({ reason }) => reason)).toEqual([
    `Call ${first.call_id} is known otherwise: user_id is 42, not 43`,
  ]);
});

test('the same message ten times at once is one call, charged once', async () => {
  const one = call();
  await filter(sqsEvent(...Array.from({ length: 10 }, () => one)));
  expect(await rules()).toEqual([1]);
  expect(await charged()).toHaveLength(1);
});

test('ten calls of one pair at once, at the same instant and within a day: one is valid', async () => {
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

test('a call that was written and not decided is decided by its next message', async () => {
  const one = call();
  await run('rename table user_prop_db.broker_phone to user_prop_db.away');
  try {
    expect(await filter(sqsEvent(one))).toEqual([0]);
    expect(await rules()).toEqual([null]);
  } finally {
    await run('rename table user_prop_db.away to user_prop_db.broker_phone');
  }
  await filterInOrder(one);
  expect(await rules()).toEqual([1]);
  expect(await charged()).toHaveLength(1);
});

test('an undecided call is nobody’s neighbour', async () => {
  await filterInOrder(call({ started_at: '2026-11-20 09:00:00' }));
  await run('update user_prop_db.sublessor_call_log_201409 set filter_rule = null');
  await filterInOrder(call());
  expect(await rules()).toEqual([null, 1]);
});

const base = Date.UTC(2026, 10, 29);
const daySeconds = 86_400;
const arrival = fc.record({
  /** Often in the same second as another, or exactly at an edge. */
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

/** The rule of each call by the two sentences alone, in the order in which they are decided. */
function rulesByTheSentences(calls: readonly Arrival[], brokerFrom: number) {
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

test.each([
  ['connected and too short', { duration: 8 }, 4],
  ['connected and valid', {}, 4],
  ['not connected', { status: 0 }, 1],
])(
  'of two calls in one second, the first %s, the second follows from it',
  async (_, first, rule) => {
    await filterInOrder(call(first), call());
    expect((await rules()).at(-1)).toBe(rule);
  },
);

test('on the real tables a call is charged if it must be and only then, whatever the order, and in the same second', async () => {
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
      expect(await rules()).toEqual(rulesByTheSentences(calls, brokerFrom));
      const ids = (await logged()).filter(({ filter_rule }) => filter_rule === 1);
      expect(await charged()).toEqual(ids.map(({ id }) => id).toSorted());
    }),
    { numRuns: 25 },
  );
});

test('a call waits while the filter is switched off, and is not written down', async () => {
  const deps = {
    ...{ mysql: undefined, settings: undefined, deliver: undefined },
    firstSwitchOff: async (...names: readonly string[]) =>
      names.find((name) => name === filterSwitch),
    brokersKnown: async () => {},
  } as never;
  const one = FinishedCall.parse(call());
  await expect(filterCall(deps, one)).rejects.toMatchObject({
    ...{ name: 'Postponed', heldBy: 'call/filter-call' },
  });
  expect(await logged()).toEqual([]);
});
