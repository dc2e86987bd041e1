import fc from 'fast-check';
import { afterEach, expect, test, vi } from 'vitest';
import type * as z from 'zod';
import {
  OldCall,
  OldContract,
  OldIncome,
  OldPayment,
} from '../../lib/call/migration/history-rows.ts';

afterEach(() => void vi.restoreAllMocks());

const time = '2026-11-20 10:00:00';
const call = {
  key: '1',
  call_id: 'c-1',
  user_id: '42',
  caller: '138',
  callee: '400',
  status: 1,
  started_at: time,
  duration: 9,
  call_type: 2,
  filter_rule: 1,
  created_at: time,
};
const contract = {
  key: '1',
  contract_no: 'C-1',
  user_id: '42',
  customer: '王芳',
  amount_fen: 500,
  balance_fen: 0,
  signed_at: time,
};
const income = {
  key: '1',
  payment_id: '2',
  contract_id: null,
  user_id: '42',
  amount_fen: -5,
  created_at: time,
};
const payment = {
  key: '1',
  call_id: null,
  call_log_id: null,
  reverses_id: null,
  user_id: '42',
  amount_fen: 5,
  call_type: 1,
  state: 'charged',
  balance_fen: null,
  reason: null,
  created_at: time,
  updated_at: time,
};

const problemsOf = (schema: z.ZodType, value: unknown) =>
  schema.safeParse(value).error?.issues.map(({ path, message }) => [path.join('.'), message]);

test.each<[string, z.ZodType, Record<string, unknown>]>([
  ['call', OldCall, call],
  ['contract', OldContract, contract],
  ['income', OldIncome, income],
  ['payment', OldPayment, payment],
])('a %s of the old system is read as it is, and every field is needed', (_, schema, row) => {
  expect(schema.parse({ ...row, more: 1 })).toEqual(row);
  for (const field of Object.keys(row)) {
    const { [field]: _, ...without } = row;
    expect(problemsOf(schema, without)?.map(([path]) => path)).toEqual([field]);
  }
});

test('MySQL gives large numbers as text, and texts of digits may be numbers', () => {
  expect(OldCall.parse({ ...call, key: 1, status: '-2', caller: 138, call_type: null })).toEqual({
    ...call,
    status: -2,
    call_type: 1,
  });
  expect(OldIncome.parse({ ...income, amount_fen: '9007199254740991' }).amount_fen).toBe(
    2 ** 53 - 1,
  );
});

const tooLong = (max: number) => `Expected at most ${max} characters`;
const noTime = 'Expected a time that exists';
const noNumber = 'Expected a whole number';
const noDigits = 'Invalid string: must match pattern /^-?\\d{1,16}$/';
const noId = 'Invalid string: must match pattern /^[1-9]\\d{0,18}$/';
const tooHigh = 'Expected at most 900000000000000000';
const fens = 'Expected -9007199254740991 to 9007199254740991';
const ints = 'Expected -2147483648 to 2147483647';
const tinies = 'Expected -128 to 127';
const state = 'Expected charged or refused';

test.each<[z.ZodType, Record<string, unknown>, string, unknown, unknown, string]>([
  [OldCall, call, 'key', '900000000000000000', '900000000000000001', tooHigh],
  [OldCall, call, 'key', 1, '0', noId],
  [OldCall, call, 'call_id', '😀'.repeat(64), 'x'.repeat(65), tooLong(64)],
  [OldCall, call, 'call_id', 'x', '', 'Expected a name'],
  [OldCall, call, 'call_id', 7, true, 'Expected a text'],
  [OldCall, call, 'caller', '', '1'.repeat(33), tooLong(32)],
  [OldCall, call, 'callee', '1'.repeat(32), '1'.repeat(33), tooLong(32)],
  [OldCall, call, 'status', -(2 ** 31), -(2 ** 31) - 1, ints],
  [OldCall, call, 'duration', 2 ** 31 - 1, 2 ** 31, ints],
  [OldCall, call, 'duration', '12', '1x', noDigits],
  [OldCall, call, 'duration', '-1', 'x1', noDigits],
  [OldCall, call, 'duration', 1, 1.5, noNumber],
  [OldCall, call, 'duration', 1, '1'.repeat(17), noDigits],
  [OldCall, call, 'duration', 1, '', noDigits],
  [OldCall, call, 'duration', 1, '1'.repeat(16), ints],
  [OldCall, call, 'filter_rule', 127, 128, tinies],
  [OldCall, call, 'call_type', -128, -129, tinies],
  [OldCall, call, 'started_at', '1970-01-01 00:00:00', '2026-00-20 10:00:00', noTime],
  [OldCall, call, 'created_at', '2999-01-01 00:00:00', null, 'Expected a time'],
  [OldContract, contract, 'key', '9223372036854775807', '-1', noId],
  [OldContract, contract, 'contract_no', 'x'.repeat(64), 'x'.repeat(65), tooLong(64)],
  [OldContract, contract, 'contract_no', 'x', '', 'Expected a number'],
  [OldContract, contract, 'customer', '王'.repeat(128), '王'.repeat(129), tooLong(128)],
  [OldContract, contract, 'balance_fen', 0, -1, 'Expected no debt'],
  [OldContract, contract, 'amount_fen', -(2 ** 53) + 1, '-9007199254740992', fens],
  [OldContract, contract, 'signed_at', time, 'x', noTime],
  [OldIncome, income, 'contract_id', '7', '0', noId],
  [OldIncome, income, 'amount_fen', 1, '9007199254740992', fens],
  [OldIncome, income, 'key', 1, '900000000000000001', tooHigh],
  [OldPayment, payment, 'key', 1, '900000000000000001', tooHigh],
  [OldPayment, payment, 'call_id', '', 'x'.repeat(65), tooLong(64)],
  [OldPayment, payment, 'state', 'refused', 'sent', state],
  [OldPayment, payment, 'reason', 'x'.repeat(500), 'x'.repeat(501), tooLong(500)],
  [OldPayment, payment, 'balance_fen', -5, 0.5, noNumber],
  [OldPayment, payment, 'call_type', null, 128, tinies],
])(
  'row %# takes one value of a field and not another',
  (schema, row, field, good, wrong, message) => {
    expect(problemsOf(schema, { ...row, [field]: good })).toBeUndefined();
    expect(problemsOf(schema, { ...row, [field]: wrong })).toEqual([[field, message]]);
  },
);

test('a payment may be of a day to come, because clocks differ, and of no later time', () => {
  vi.spyOn(Date, 'now').mockReturnValue(Date.parse('2026-11-20T02:00:00Z'));
  const future = 'Expected a time that is not in the future';
  const problems = (created_at: string) => problemsOf(OldPayment, { ...payment, created_at });
  expect(problems('2026-11-21 10:00:00')).toBeUndefined();
  expect(problems('2026-11-21 10:00:01')).toEqual([['created_at', future]]);
  expect(problems('0000-00-00 00:00:00')?.[0]).toEqual(['created_at', noTime]);
});

test('a whole number is kept as it is, as a number and as text', () => {
  fc.assert(
    fc.property(fc.maxSafeInteger(), (fen) => {
      for (const amount_fen of [fen, String(fen)])
        expect(OldIncome.parse({ ...income, amount_fen }).amount_fen).toBe(fen);
    }),
  );
});
