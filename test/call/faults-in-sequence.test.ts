/**
 * Two or more faults of a partner after each other, through the handlers: K3 (call/post-contract) and the listing
 * service (call/switch-listings). Whatever was lost, refused or unreadable before, the row ends as the partner has it.
 */
import type { SQSEvent } from 'aws-lambda';
import { beforeEach, expect, test } from 'vitest';
import { listingSwitches, signedContracts } from '../../lib/call/queues.ts';
import { owner, payment } from '../support/accounting.ts';
import { logged } from '../support/captured-logs.ts';
import { resetDatabases, rowsOf, run } from '../support/databases.ts';
import { contextOf, eventOf, redelivered, sqsEvent } from '../support/lambda.ts';
import { partnerOf } from '../support/partners.ts';
import { take, takeDead, testDeadLetterQueue } from '../support/queues.ts';

const deadContracts = await testDeadLetterQueue(signedContracts);
const deadSwitches = await testDeadLetterQueue(listingSwitches);
const { handler: postContract } = await import('../../functions/call/post-contract.ts');
const { handler: switchListings } = await import('../../functions/call/switch-listings.ts');

const [k3, listing] = [partnerOf('k3'), partnerOf('listing')];
const first = '820000000001';

beforeEach(async () => {
  await resetDatabases();
  await Promise.all([k3.reset(), listing.reset(), take(deadContracts), take(deadSwitches)]);
});

type Fault = readonly [mode: string, times: number];
type Handler = typeof postContract;

/** Delivers a message while the partner has these faults, one after the other; returns the word of its outcome. */
async function outcomeOf(
  handler: Handler,
  partner: typeof k3,
  event: SQSEvent,
  faults: readonly Fault[],
): Promise<unknown> {
  for (const [mode, times] of faults) await partner.fault(mode, times);
  let failures: Record<string, unknown>[] = [];
  const done = await logged(async () => {
    failures = await logged(async () => {
      expect(redelivered(event, await handler(event, contextOf()))).toEqual([]);
    }, process.stderr);
  });
  // No row stays leased: the next delivery is the one that the outbox makes when its time has come.
  await run('update user_prop_db.sublessor_contract_posting set held_until = null');
  await run('update user_prop_db.sublessor_listings set held_until = null');
  return [...done, ...failures].find(({ level }) => level !== undefined)?.['message'];
}

/** In how many minutes the one message that waits is due. */
async function waitingMinutes(): Promise<number> {
  const rows = await rowsOf(`select round(timestampdiff(second, now(3), due_at) / 60) minutes
    from signalbox.outbox where destination like 'queue:%'`);
  expect(rows).toHaveLength(1);
  await run("delete from signalbox.outbox where destination like 'queue:%'");
  return Number(rows[0]?.['minutes']);
}

const signed = eventOf<SQSEvent>('call/post-contract', 'signed');
const body: Record<string, unknown> = JSON.parse(signed.Records[0]?.body ?? '');
const number = String(body['contract_no']);
const corrected = sqsEvent({ ...body, customer: '更正后的客户' });
const post = (faults: readonly Fault[] = [], event: SQSEvent = signed) =>
  outcomeOf(postContract, k3, event, faults);

interface Contracts {
  readonly contracts: Readonly<Record<string, { customer: string; bill_no: string }>>;
}
const inK3 = async () =>
  Object.values((await k3.state<Contracts>()).contracts).map(({ bill_no }) => bill_no);
const contractRow = async () =>
  (
    await rowsOf(`select c.customer, c.status, p.bill_no, p.message, p.attempts
      from user_prop_db.sublessor_contract c
      join user_prop_db.sublessor_contract_posting p using (contract_id)`)
  )[0];
const [posting, reading] = ['POST /contracts', `GET /contracts/${encodeURIComponent(number)}`];
const posted = { status: 'posted', bill_no: 'XSHT000001', message: null, attempts: 0 };

test('K3: an answer is lost and the next one is yes: posted in one delivery, as one bill', async () => {
  expect(await post([['lose_answer', 1]])).toBe('posted');
  expect(await contractRow()).toMatchObject(posted);
  expect(await inK3()).toEqual(['XSHT000001']);
  expect(await k3.calls()).toEqual([posting, posting]);
});

test.each([['lose_answer'], ['error']] as const)(
  'K3: two times %s, then an outage, an odd answer, a page and a duplicate: nothing is decided before the yes',
  async (mode) => {
    const faults = [mode, 'error', 'odd_answer', 'page', 'lose_answer'] as const;
    for (const [index, one] of faults.entries()) {
      expect(await post([[one, 2]]), one).toBe('postponed');
      expect(await contractRow()).toMatchObject({ status: 'open', bill_no: null, message: null });
      expect(await waitingMinutes(), one).toBe(2 ** index);
    }
    expect(await post([['duplicate', 1]])).toBe('posted');
    expect(await contractRow()).toMatchObject(posted);
    expect(await inK3()).toEqual(['XSHT000001']);
    expect(await k3.calls()).toEqual(Array.from({ length: 11 }, () => posting));
    expect(await post()).toBe('already-posted');
    expect(await takeDead(deadContracts)).toEqual([]);
  },
);

test('K3: a refusal right after a lost yes is asked about, and the contract is posted', async () => {
  const faults: Fault[] = [
    ['lose_answer', 1],
    ['refuse', 1],
  ];
  expect(await post(faults)).toBe('posted');
  expect(await contractRow()).toMatchObject(posted);
  expect(await k3.calls()).toEqual([posting, posting, reading]);
  expect(await post()).toBe('already-posted');
});

test('K3: a refusal in the delivery after a lost yes is asked about, and the contract is posted', async () => {
  expect(await post([['lose_answer', 2]])).toBe('postponed');
  expect(await post([['refuse', 1]])).toBe('posted');
  expect(await contractRow()).toMatchObject(posted);
  expect(await inK3()).toEqual(['XSHT000001']);
  expect(await k3.calls()).toEqual([posting, posting, posting, reading]);
});

test('K3: a refusal about which K3 is then silent decides nothing', async () => {
  expect(await post([['lose_answer', 2]])).toBe('postponed');
  const faults: Fault[] = [
    ['refuse', 1],
    ['error', 2],
  ];
  expect(await post(faults)).toBe('postponed');
  expect(await contractRow()).toMatchObject({ status: 'open', message: null, attempts: 2 });
  expect(await post()).toBe('posted');
  expect(await contractRow()).toMatchObject(posted);
  expect(await k3.calls()).toEqual([posting, posting, posting, reading, reading, posting]);
});

test.each([
  ['without a lost answer', []],
  ['after an outage', [['error', 2]]],
  ['after a page', [['page', 2]]],
] as const)(
  'K3: a refusal %s stays one, and what a person corrects is posted even if its answer is lost',
  async (_, before) => {
    for (const fault of before) expect(await post([fault])).toBe('postponed');
    expect(await post([['refuse', 1]])).toBe('refused');
    expect(await contractRow()).toMatchObject({ status: 'refused', message: '客户不存在' });
    expect(await inK3()).toEqual([]);
    expect(await post([['lose_answer', 2]], corrected)).toBe('postponed');
    expect(await contractRow()).toMatchObject({ status: 'refused', customer: '更正后的客户' });
    expect(await post()).toBe('superseded');
    expect(await post([], corrected)).toBe('posted');
    expect(await contractRow()).toMatchObject(posted);
    expect(Object.values((await k3.state<Contracts>()).contracts)).toMatchObject([
      { customer: '更正后的客户' },
    ]);
  },
);

test('K3: a refusal stays one where its number is answered by a page, or K3 has other content under it', async () => {
  const faults: Fault[] = [
    ['refuse', 1],
    ['page', 2],
  ];
  expect(await post(faults)).toBe('refused');
  const { contract_no: _, contract_id: __, user_id: ___, amount_fen: amount, ...rest } = body;
  await k3.ask('/contracts', {
    ...rest,
    number,
    amount,
    customer: '别的公司',
    KDAccount: '瑞庭（上海）1117 aaa',
  });
  expect(await post([['refuse', 1]])).toBe('refused');
  expect(await contractRow()).toMatchObject({ status: 'refused', message: '客户不存在' });
});

const outOfMoney = eventOf<SQSEvent>('call/switch-listings', 'out-of-money');
const toppedUp = eventOf<SQSEvent>('call/switch-listings', 'topped-up');
const turn = (event: SQSEvent, ...faults: readonly Fault[]) =>
  outcomeOf(switchListings, listing, event, faults);

interface Users {
  readonly users: Readonly<
    Record<string, { online: boolean; history: { to: string; request_id: string }[] }>
  >;
}
const history = async () =>
  ((await listing.state<Users>()).users[owner]?.history ?? []).map(({ request_id }) => request_id);
const listingRow = async () =>
  (
    await rowsOf(
      'select state, request_id, request_done, attempts from user_prop_db.sublessor_listings',
    )
  )[0];
const [off, on] = [`POST /users/${owner}/offline`, `POST /users/${owner}/online`];
const done = (state: string, paymentId = first) => ({
  state,
  request_id: `${state}-${paymentId}`,
  request_done: 1,
  attempts: 0,
});

test('listings: an answer is lost and the next one is yes: offline in one delivery, once', async () => {
  await payment({ id: first });
  expect(await turn(outOfMoney, ['lose_answer', 1])).toBe('offline');
  expect(await listingRow()).toMatchObject(done('offline'));
  expect(await history()).toEqual([`offline-${first}`]);
  expect(await listing.calls()).toEqual([off, off]);
});

test.each([['lose_answer'], ['error']] as const)(
  'listings: two times %s, then "later", an outage, an odd answer and a page: switched once, at the yes',
  async (mode) => {
    await payment({ id: first });
    const faults = [mode, 'refuse', 'error', 'odd_answer', 'page'] as const;
    for (const [index, one] of faults.entries()) {
      expect(await turn(outOfMoney, [one, 2]), one).toBe('postponed');
      expect(await listingRow()).toMatchObject({ state: 'online', request_done: 0 });
      expect(await waitingMinutes(), one).toBe(2 ** index);
    }
    expect(await turn(outOfMoney, ['duplicate', 1])).toBe('offline');
    expect(await listingRow()).toMatchObject(done('offline'));
    expect(await history()).toEqual([`offline-${first}`]);
    expect(await listing.calls()).toEqual(Array.from({ length: 11 }, () => off));
    expect(await turn(outOfMoney)).toBe('already-offline');
    expect(await takeDead(deadSwitches)).toEqual([]);
  },
);

test.each([
  ['carried out', 'lose_answer', [`offline-${first}`]],
  ['not carried out', 'error', []],
] as const)(
  'listings: offline without an answer, %s, then a top-up whose answers are lost: they end online',
  async (_, mode, before) => {
    await payment({ id: first });
    expect(await turn(outOfMoney, [mode, 2])).toBe('postponed');
    expect(await turn(toppedUp, ['lose_answer', 2])).toBe('postponed');
    expect(await turn(outOfMoney, ['refuse', 2])).toBe('postponed');
    expect(await turn(toppedUp)).toBe('online');
    expect(await turn(outOfMoney)).toBe('already-online');
    expect(await listingRow()).toMatchObject(done('online'));
    expect(await history()).toEqual([...before, `online-${first}`]);
    expect(await listing.calls()).toEqual([off, off, on, on, on, on, on]);
  },
);

test.each([
  ['carried out', 'lose_answer', [`online-${first}`]],
  ['not carried out', 'error', []],
] as const)(
  'listings: online without an answer, %s, then a charge that leaves nothing: they end offline',
  async (_, mode, between) => {
    const second = '820000000002';
    await payment({ id: first });
    expect(await turn(outOfMoney)).toBe('offline');
    expect(await turn(toppedUp, [mode, 2])).toBe('postponed');
    await payment({ id: second, at: '2026-11-20 23:00:00' });
    const again = sqsEvent({ userId: owner, paymentId: second, why: 'balance is 0' });
    expect(await turn(again, ['page', 2])).toBe('postponed');
    expect(await turn(toppedUp, ['odd_answer', 2])).toBe('postponed');
    expect(await turn(again)).toBe('offline');
    expect(await turn(toppedUp)).toBe('already-offline');
    expect(await listingRow()).toMatchObject(done('offline', second));
    expect(await history()).toEqual([`offline-${first}`, ...between, `offline-${second}`]);
    expect(await listing.calls()).toEqual([off, on, on, off, off, off, off, off]);
  },
);
