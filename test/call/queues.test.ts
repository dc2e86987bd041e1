import fc from 'fast-check';
import { expect, test } from 'vitest';
import type * as z from 'zod';
import { isAddressable } from '../../lib/call/contract-numbers.ts';
import {
  callsToCharge,
  FinishedCall,
  finishedCalls,
  listingSwitches,
  OutOfMoney,
  SignedContract,
  signedContracts,
  ToppedUp,
  ValidCall,
} from '../../lib/call/queues.ts';

const call = {
  call_id: 'c-1',
  routing_key: '400',
  caller: '13812345678',
  callee: '4001',
  user_id: '42',
  status: 1,
  started_at: '2026-11-20 10:00:00',
  duration: 9,
  call_type: 2,
};
const contract = {
  contract_id: '7',
  contract_no: 'C-7',
  user_id: '42',
  customer: '王芳',
  amount_fen: 1,
  signed_at: '2026-11-20 10:00:00',
};
const toppedUp = { user_id: '42', topped_up_at: '2026-11-20 10:00:00', balance: 0 };
const outOfMoney = { userId: '42', paymentId: '8', why: 'account frozen' };

const problemsOf = (schema: z.ZodType, value: unknown) =>
  schema.safeParse(value).error?.issues.map(({ path, message }) => [path.join('.'), message]);
const takes = (schema: z.ZodType, value: unknown) => schema.safeParse(value).success;

test('a finished call is read as it is sent; without a type it is a normal one', () => {
  expect(FinishedCall.parse(call)).toEqual(call);
  const { call_type: _, ...without } = call;
  expect(FinishedCall.parse({ ...without, more: 1 })).toEqual({ ...call, call_type: 1 });
  expect(FinishedCall.parse({ ...call, user_id: 42 }).user_id).toBe('42');
});

test.each([
  ['call_id', 'x'.repeat(64), 'x'.repeat(65)],
  ['call_id', 'x', ''],
  ['call_id', '😀', '\ud83d'],
  ['routing_key', 'x'.repeat(200), ''],
  ['caller', '1'.repeat(32), '1'.repeat(33)],
  ['caller', '+1', 'anonymous'],
  ['callee', '1'.repeat(32), '1'.repeat(33)],
  ['callee', 'anonymous', ''],
  ['user_id', '1', '0'],
  ['status', -(2 ** 31) + 1, -(2 ** 31)],
  ['status', 2 ** 31 - 1, 2 ** 31],
  ['status', 0, 0.5],
  ['started_at', '2000-01-01 00:00:00', '1999-12-31 23:59:59'],
  ['started_at', '2099-12-31 23:59:59', '1920-11-20 20:20:20'],
  ['started_at', '2000-01-01 00:00:00', '2120-01-01 00:00:00x'],
  ['started_at', '2000-02-29 00:00:00', '2120-13-01 00:00:00'],
  ['duration', 0, -1],
  ['duration', 86_400, 86_401],
  ['duration', 1, 1.5],
  ['call_type', 1, 3],
])('%s of a finished call may be %j, and not %j', (field, good, wrong) => {
  expect(problemsOf(FinishedCall, { ...call, [field]: good })).toBeUndefined();
  expect(problemsOf(FinishedCall, { ...call, [field]: wrong })?.map(([path]) => path)).toContain(
    field,
  );
});

test.each([
  [FinishedCall, { ...call, caller: '-' }, ['caller', 'Expected a telephone number']],
  [FinishedCall, { ...call, call_id: '\ud83d' }, ['call_id', 'Expected whole characters']],
  [
    FinishedCall,
    { ...call, started_at: '1999-12-31 23:59:59' },
    ['started_at', 'Expected a time of this century'],
  ],
  [SignedContract, { ...contract, contract_no: '..' }, ['contract_no', 'Expected another number']],
  [
    SignedContract,
    { ...contract, amount_fen: 0.5 },
    ['amount_fen', 'Expected an amount in whole fen'],
  ],
  [
    SignedContract,
    { ...contract, signed_at: '2026-02-29 10:00:00' },
    ['signed_at', 'Expected a time that exists'],
  ],
])('what is wrong is said of its field', (schema, value, problem) => {
  expect(problemsOf(schema, value)).toEqual([problem]);
});

test.each([
  '2026-11-20T10:00:00',
  '2026-11-20 10:00',
  '2026-11-20 10:00:00.0',
  ' 2026-11-20 10:00:00',
  '2026-11-20 10:00:00 ',
  '0000-01-01 00:00:00',
  '12026-11-20 10:00:00',
  '2026-1-20 10:00:00',
  '2026-11-2 10:00:00',
  '2026-11-20 1:00:00',
  '2026-11-20 10:0:00',
  '2026-11-20 10:00:0',
])('%j is no wall time', (signed_at) => {
  const problems = problemsOf(SignedContract, { ...contract, signed_at });
  expect(problems).toContainEqual(['signed_at', 'Expected YYYY-MM-DD HH:mm:ss']);
});

test.each(['2026-02-29', '2026-04-31', '2026-13-01', '2026-00-01', '2026-01-00'])(
  '%s is a day that does not exist',
  (day) => {
    const problems = problemsOf(SignedContract, { ...contract, signed_at: `${day} 10:00:00` });
    expect(problems).toEqual([['signed_at', 'Expected a time that exists']]);
  },
);

test('a wall time is taken just where it exists', () => {
  const part = (max: number) => fc.integer({ min: 0, max }).map((n) => String(n).padStart(2, '0'));
  fc.assert(
    fc.property(
      fc.tuple(fc.integer({ min: 1000, max: 9999 }), part(13), part(32), part(25), part(61)),
      ([year, month, day, hour, minute]) => {
        const time = `${year}-${month}-${day} ${hour}:${minute}:00`;
        const days = new Date(Date.UTC(year, Number(month), 0)).getUTCDate();
        const isDay = Number(month) >= 1 && Number(month) <= 12 && Number(day) >= 1;
        const exists = isDay && Number(day) <= days && Number(hour) < 24 && Number(minute) < 60;
        expect(takes(SignedContract, { ...contract, signed_at: time })).toBe(exists);
      },
    ),
  );
});

test('a contract is read as it is sent', () => {
  expect(SignedContract.parse(contract)).toEqual(contract);
  for (const [field, good, wrong] of [
    ['contract_no', 'x'.repeat(64), 'x'.repeat(65)],
    ['customer', 'x'.repeat(128), 'x'.repeat(129)],
    ['contract_no', 'a/b?c', '.'],
    ['customer', 'x', ''],
    ['amount_fen', Number.MAX_SAFE_INTEGER, 0],
    ['contract_id', '1', '-1'],
    ['user_id', '1', 'x'],
  ] as const) {
    expect(takes(SignedContract, { ...contract, [field]: good })).toBe(true);
    expect(takes(SignedContract, { ...contract, [field]: wrong })).toBe(false);
  }
});

test('a number names a contract in an address unless it is a step of a path', () => {
  expect(['.', '..'].map(isAddressable)).toEqual([false, false]);
  expect(['', '...', 'a.', '/', '%2e'].map(isAddressable)).toEqual(Array(5).fill(true));
});

test('a message about listings is of a charge that was refused, or of a top-up', () => {
  const { schema } = listingSwitches;
  expect(schema.parse(toppedUp)).toEqual(toppedUp);
  expect(ToppedUp.parse({ ...toppedUp, balance: -5 }).balance).toBe(-5);
  for (const wrong of [{ balance: 0.5 }, { topped_up_at: 'now' }, { user_id: '0' }])
    expect(takes(schema, { ...toppedUp, ...wrong })).toBe(false);
  const whys = ['not enough money', 'account frozen', 'unknown account', 'balance is 0'];
  for (const why of [...whys, 'reason unknown'])
    expect(OutOfMoney.parse({ ...outOfMoney, why })).toEqual({ ...outOfMoney, why });
  for (const wrong of [{ why: '' }, { why: 'x' }, { userId: '0' }, { paymentId: 'x' }])
    expect(takes(schema, { ...outOfMoney, ...wrong })).toBe(false);
});

test('a call that is to be charged has its number and its owner', () => {
  expect(ValidCall.parse({ callLogId: 1, userId: '2' })).toEqual({ callLogId: '1', userId: '2' });
  for (const wrong of [{ callLogId: '1' }, { userId: '2' }, { callLogId: '0', userId: '2' }])
    expect(takes(ValidCall, wrong)).toBe(false);
});

test('each queue is named after the function that drains it', () => {
  const queues = [finishedCalls, callsToCharge, listingSwitches, signedContracts];
  expect(queues.map(({ id }) => id)).toEqual([
    ...['call/filter-call', 'call/charge-call', 'call/switch-listings', 'call/post-contract'],
  ]);
});
