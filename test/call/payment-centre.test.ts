import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { payments, signatureOf } from '../../lib/call/partners/payment-centre.ts';
import { paymentAccount } from '../../local/secrets.ts';
import { account, busy, fault, ledger, resetCalls } from '../support/calls.ts';
import { workerServers } from '../support/started.ts';

const { payment: url } = (await workerServers()).simulators;
const clientOf = (
  payment_base_api_url: string,
  payment_api_timeout = 2_000,
  given = paymentAccount,
) =>
  payments(
    async () => ({ payment_base_api_url, payment_api_timeout }),
    async () => given as typeof paymentAccount,
  );
const { deduct, refund, tradeOf, statementOf } = clientOf(url);
const one = { tradeId: '820000000001', userId: '42', amountFen: 4_000 };

/** Answers whatever is asked with this. */
const said = { type: 'application/json', status: 200, body: '' };
const server = createServer((_, response) => {
  response.writeHead(said.status, { 'content-type': said.type }).end(said.body);
});
await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
const address = server.address();
const elsewhere = clientOf(
  `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`,
);
afterAll(() => server.close());

beforeEach(resetCalls);

test('a body is signed over its compact JSON, keys sorted, without the signature', () => {
  const sign = signatureOf({ user_id: 42, app: 'a', amount: 4_000 }, 'key');
  const right = createHmac('sha256', 'key').update('{"amount":4000,"app":"a","user_id":42}');
  expect(sign).toBe(right.digest('hex'));
});

test('the same trade again has the same answer, with other values it is a conflict', async () => {
  await account(42, 10_000);
  const answer = { is: 'done', tradeId: one.tradeId, balanceFen: 6_000 };
  expect(await deduct(one)).toEqual(answer);
  expect(await deduct(one)).toEqual(answer);
  expect(await deduct({ ...one, amountFen: 4_001 })).toEqual({ is: 'conflict' });
  expect((await ledger()).accounts['42']?.balance).toBe(6_000);
});

test('each refusal is told apart, stays what it is, and costs nothing', async () => {
  await account(42, 3_999);
  await account(43, 9_999, true);
  expect(await deduct(one)).toEqual({ is: 'refused', code: 4001, balanceFen: 3_999 });
  await account(42, 9_999);
  expect(await deduct(one)).toMatchObject({ is: 'refused', code: 4001 });
  const others = { ...one, tradeId: '820000000002', userId: '43' };
  expect(await deduct(others)).toMatchObject({ is: 'refused', code: 4002 });
  const unknown = { ...one, tradeId: '820000000003', userId: '9007199254740993' };
  expect(await deduct(unknown)).toMatchObject({ is: 'refused', code: 4003 });
  expect(await tradeOf(one.tradeId)).toMatchObject({ is: 'refused' });
  expect((await ledger()).accounts['42']?.balance).toBe(9_999);
});

test('"try later" leaves no trace', async () => {
  await account(42, 10_000);
  await busy(1);
  expect(await deduct(one)).toEqual({ is: 'later' });
  expect(await tradeOf(one.tradeId)).toEqual({ is: 'never seen' });
  expect(await deduct(one)).toMatchObject({ is: 'done' });
});

test('a refund gives back once, and no more than was paid; the statement shows both', async () => {
  await account(42, 10_000);
  await deduct(one);
  const back = { tradeId: '820000000002', originalTradeId: one.tradeId, amountFen: 4_000 };
  expect(await refund(back)).toMatchObject({ is: 'done', balanceFen: 10_000 });
  expect(await refund(back)).toMatchObject({ is: 'done', balanceFen: 10_000 });
  expect(await refund({ ...back, tradeId: '820000000003' })).toEqual({ is: 'conflict' });
  expect(await refund({ ...back, originalTradeId: '1' })).toEqual({ is: 'never seen' });
  const day = new Date(Date.now() + 8 * 3_600_000).toISOString().slice(0, 10);
  expect(await statementOf(day)).toEqual([
    { tradeId: one.tradeId, userId: '42', amountFen: 4_000 },
    { tradeId: back.tradeId, userId: '42', amountFen: -4_000 },
  ]);
  expect(await statementOf('2020-01-01')).toEqual([]);
});

test('an answer that is lost, or comes too late, may have had its effect; one never asked for had none', async () => {
  await account(42, 10_000);
  await fault('lose_answer');
  await expect(deduct(one)).rejects.toMatchObject({
    name: 'PartnerUnavailable',
    effect: 'possible',
  });
  await fault('slow', { ms: 400 });
  const impatient = clientOf(url, 150);
  const two = { ...one, tradeId: '820000000002' };
  await expect(impatient.deduct(two)).rejects.toMatchObject({ effect: 'possible' });
  const nobody = clientOf('http://127.0.0.1:1');
  await expect(nobody.deduct(one)).rejects.toMatchObject({ effect: 'none' });
  expect(await tradeOf(one.tradeId)).toMatchObject({ is: 'done', balanceFen: 6_000 });
});

test.each([
  { what: 'HTML', type: 'text/html', body: '<html>502 Bad Gateway</html>' },
  { what: 'another trade', body: '{"code":0,"trade_id":"1","balance":1}' },
  { what: 'a code that is not in the contract', body: '{"code":4242}' },
  { what: 'no balance', body: '{"code":0,"trade_id":"820000000001"}' },
  { what: 'an amount in yuan', body: '{"code":0,"trade_id":"820000000001","balance":12.5}' },
])('$what is no answer', async ({ type = 'application/json', body }) => {
  Object.assign(said, { type, body });
  await expect(elsewhere.deduct(one)).rejects.toMatchObject({ effect: 'possible' });
});

test.each([
  '{"code":0,"trade_id":"820000000002","balance":1}',
  '{"code":4001,"trade_id":"820000000002","balance":1}',
  '{"code":4002,"trade_id":820000000002}',
  '{"code":4003,"trade_id":"820000000002"}',
  '{"code":4009,"trade_id":"820000000002"}',
  '{"code":5000,"trade_id":"820000000002"}',
  '{"code":4001,"trade_id":"820000000001","user_id":43}',
  '{"code":0,"trade_id":"820000000001","user_id":"43","balance":1}',
])('an answer to a deduction about another trade or owner is no answer: %s', async (body) => {
  Object.assign(said, { type: 'application/json', body });
  await expect(elsewhere.deduct(one)).rejects.toMatchObject({ effect: 'possible' });
  await expect(elsewhere.deduct(one)).rejects.toThrow(/about (trade|user)_id/);
});

test('an answer to a refund, a question or a statement about another one is no answer', async () => {
  const back = { tradeId: '820000000002', originalTradeId: one.tradeId, amountFen: 4_000 };
  Object.assign(said, { body: '{"code":4004,"trade_id":"820000000003"}' });
  await expect(elsewhere.refund(back)).rejects.toThrow(/about trade_id/);
  await expect(elsewhere.tradeOf(one.tradeId)).rejects.toThrow(/about trade_id/);
  Object.assign(said, { body: '{"code":4004,"original_trade_id":"820000000003"}' });
  await expect(elsewhere.refund(back)).rejects.toThrow(/about original_trade_id/);
  Object.assign(said, { body: '{"code":0,"day":"2026-11-20","trades":[]}' });
  await expect(elsewhere.statementOf('2026-11-21')).rejects.toThrow(/about day/);
});

test.each([
  ['4001', '{"code":4001,"trade_id":820000000001,"user_id":"42","balance":7}', 'refused'],
  ['0', '{"code":0,"trade_id":820000000001,"user_id":42,"balance":7}', 'done'],
])(
  'an answer %s that names its own trade and owner, as number or text, is one',
  async (_, body, is) => {
    Object.assign(said, { body });
    expect(await elsewhere.deduct(one)).toMatchObject({ is, balanceFen: 7 });
  },
);

test('a signature by another key does nothing', async () => {
  await account(42, 10_000);
  const forger = clientOf(url, 2_000, { ...paymentAccount, key: 'another' } as never);
  await expect(forger.deduct(one)).rejects.toMatchObject({ name: 'PartnerUnavailable' });
  expect((await ledger()).trades).toEqual([]);
});

test('the control refuses like an empty account, and the trade stays refused', async () => {
  await account(42, 10_000);
  await fault('refuse');
  expect(await deduct(one)).toEqual({ is: 'refused', code: 4001, balanceFen: 10_000 });
  expect(await tradeOf(one.tradeId)).toMatchObject({ is: 'refused' });
});
