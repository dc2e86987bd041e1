/**
 * Tests odd messages and rows of other systems: each is stored as it is or named, and changes nothing for the others.
 * Each queue, and the table of brokers' telephone numbers, gets each odd value of each field or column once, and many
 * odd ones at a time. odd-books.test.ts covers imports and answers of partners.
 */
import type { SQSEvent } from 'aws-lambda';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { syncBrokerPhones } from '../../lib/call/filtering/sync-broker-phones.ts';
import type { UpstreamPhones } from '../../lib/call/filtering/upstream-phones.ts';
import { digitsOf } from '../../lib/call/phone-numbers.ts';
import {
  callsToCharge,
  finishedCalls,
  listingSwitches,
  signedContracts,
} from '../../lib/call/queues.ts';
import type { CallTables } from '../../lib/call/tables.ts';
import { isId } from '../../lib/platform/ids.ts';
import { deliverBy } from '../../lib/platform/messaging/outbox.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { payment } from '../support/accounting.ts';
import { resetCalls } from '../support/calls.ts';
import { rowsOf, run } from '../support/databases.ts';
import { contextOf, redelivered, sqsRecord } from '../support/lambda.ts';
import {
  columnsOf,
  everyOddMessage,
  everyOddRow,
  loosened,
  type OddRow,
  oddMessage,
  oddRow,
  oddValuesOf,
  writeRow,
} from '../support/odd-values.ts';
import { partnerOf } from '../support/partners.ts';
import { take, takeDead, testDeadLetterQueue, testQueue } from '../support/queues.ts';

const dead = {
  call: await testDeadLetterQueue(finishedCalls),
  contract: await testDeadLetterQueue(signedContracts),
  switch: await testDeadLetterQueue(listingSwitches),
};
const valid = await testQueue(callsToCharge);
const { handler: filter } = await import('../../functions/call/filter-call.ts');
const { handler: post } = await import('../../functions/call/post-contract.ts');
const { handler: switchListings } = await import('../../functions/call/switch-listings.ts');
const partners = [partnerOf('k3'), partnerOf('listing')];

type Message = Readonly<Record<string, unknown>>;

interface Source {
  readonly deadUrl: string;
  readonly handler: (event: SQSEvent, context: never) => Promise<never>;
  readonly good: readonly Message[];
  /** A good message, of which the test makes one field odd; `n` makes it unique. */
  readonly odd: (n: number) => Message;
  /** The field that identifies an odd message, unless that field is the odd one. */
  readonly name: string;
  /** Rows of the good messages, or of the odd ones that were stored. */
  readonly shown: (which: 'good' | 'odd') => Promise<readonly Record<string, unknown>[]>;
  readonly kept: (message: Message) => Record<string, unknown>;
}

const goodOwners = ['7001', '7002', '7003'];
const at = '2026-11-20 10:00:00';
const text = (value: unknown) => String(value);

const calls: Source = {
  deadUrl: dead.call,
  handler: filter as never,
  name: 'call_id',
  good: goodOwners.map((user_id) => ({
    call_id: `good-${user_id}`,
    routing_key: 'postcallinfo_dyz',
    caller: `1390000${user_id}`,
    callee: '4008208820',
    user_id,
    status: 1,
    started_at: at,
    duration: 61,
    call_type: 1,
  })),
  odd: (n) => ({
    call_id: `odd-${n}`,
    routing_key: 'postcallinfo_dyz',
    caller: '13812345678',
    callee: '4008208820',
    user_id: 9,
    status: 1,
    started_at: at,
    duration: 61,
    call_type: 2,
  }),
  shown: (which) =>
    rowsOf(`select call_id, caller, callee, user_id, status, started_at, duration, call_type
      ${which === 'good' ? ', filter_rule' : ''} from user_prop_db.sublessor_call_log_201409
      where user_id ${which === 'good' ? 'in' : 'not in'} (7001, 7002, 7003) order by call_id`),
  kept: ({ routing_key: _, user_id, ...call }) => ({
    call_type: 1,
    ...call,
    user_id: text(user_id),
  }),
};

const contracts: Source = {
  deadUrl: dead.contract,
  handler: post as never,
  name: 'contract_id',
  good: goodOwners.map((user_id) => ({
    contract_id: user_id,
    contract_no: `good-${user_id}`,
    user_id,
    customer: '客户',
    amount_fen: 10_000,
    signed_at: at,
  })),
  odd: (n) => ({
    contract_id: 100_000 + n,
    contract_no: `odd-${n}`,
    user_id: 9,
    customer: '客户',
    amount_fen: 10_000,
    signed_at: at,
  }),
  shown: (which) =>
    rowsOf(`select contract_id, contract_no, user_id, customer, amount_fen, signed_at
      ${which === 'good' ? ', status, balance_fen' : ''} from user_prop_db.sublessor_contract
      where user_id ${which === 'good' ? 'in' : 'not in'} (7001, 7002, 7003) order by contract_id`),
  kept: ({ contract_id, user_id, amount_fen, ...contract }) => ({
    contract_id: text(contract_id),
    user_id: text(user_id),
    amount_fen: text(amount_fen),
    ...contract,
  }),
};

/** Only the time of an owner's last top-up is stored: at or before now, and only if it left a positive balance. */
const topUps: Source = {
  deadUrl: dead.switch,
  handler: switchListings as never,
  name: 'user_id',
  good: goodOwners.map((user_id) => ({ user_id, topped_up_at: at, balance: 5_000 })),
  odd: (n) => ({ user_id: 100_000 + n, topped_up_at: at, balance: 5_000 }),
  shown: (which) =>
    rowsOf(`select user_id, date_format(topped_up_at, '%Y-%m-%d %H:%i:%s') topped_up_at
      ${which === 'good' ? ', state, request_id' : ''} from user_prop_db.sublessor_listings
      where user_id ${which === 'good' ? 'in' : 'not in'} (7001, 7002, 7003) order by user_id`),
  kept: ({ user_id, topped_up_at }) => ({ user_id: text(user_id), topped_up_at }),
};

const outOfMoney: Source = {
  deadUrl: dead.switch,
  handler: switchListings as never,
  name: 'paymentId',
  good: goodOwners.map((userId) => ({ userId, paymentId: `82${userId}`, why: 'balance is 0' })),
  odd: (n) => ({ userId: '9', paymentId: String(900_000 + n), why: 'balance is 0' }),
  shown: (which) =>
    rowsOf(`select cause_payment_id paymentId, user_id userId, cause why, state
      from user_prop_db.sublessor_listings
      where user_id ${which === 'good' ? 'in' : 'not in'} (7001, 7002, 7003) order by user_id`),
  kept: ({ userId, paymentId, why }) => ({
    paymentId,
    userId: text(userId),
    why,
    state: 'offline',
  }),
};

const sources = {
  'call/filter-call': calls,
  'call/post-contract': contracts,
  'call/switch-listings, a top-up': topUps,
  'call/switch-listings, no money': outOfMoney,
};
const named = Object.entries(sources);

beforeEach(fresh);

async function fresh(): Promise<void> {
  await resetCalls();
  for (const one of partners) await one.reset();
  for (const url of [valid, ...Object.values(dead)]) await take(url);
  for (const userId of goodOwners) await payment({ id: `82${userId}`, userId });
}

/** Delivers messages as one batch, of which none may be redelivered. */
async function deliver({ handler }: Source, messages: readonly Message[]): Promise<void> {
  const event = { Records: messages.map((message) => sqsRecord(message)) };
  expect(redelivered(event, await handler(event, contextOf(60_000) as never))).toEqual([]);
}

/** Delivers odd messages between good ones, twice; good rows must equal those alone, odd ones be stored or named. */
async function expectGoodUnchanged(source: Source, odd: readonly Message[]): Promise<void> {
  await deliver(source, source.good);
  const alone = await source.shown('good');
  expect(alone).toHaveLength(source.good.length);
  await fresh();
  const [first, ...rest] = source.good;
  const half = Math.ceil(odd.length / 2);
  const all = [first ?? {}, ...odd.slice(0, half), ...rest, ...odd.slice(half)];
  await deliver(source, all);
  expect(await source.shown('good')).toEqual(alone);
  const kept = await source.shown('odd');
  const letters = await takeDead(source.deadUrl);
  expect(letters.filter(({ reason }) => !namesWhat.test(reason))).toEqual([]);
  const dropped = odd.filter(
    (message) =>
      !letters.some(({ body }) => body === escapedJson(message)) && !isKept(source, message, kept),
  );
  expect(dropped).toEqual([]);
  await deliver(source, all);
  expect(await source.shown('good')).toEqual(alone);
  expect(await source.shown('odd')).toEqual(kept);
}

/** A reason starts with the wrong field, or with what is known with other values. */
const namesWhat = /^([a-zA-Z_]+: |(Call|Contract|Payment) )/;

/**
 * Returns whether a row shows that the message was stored. A valid top-up without a positive balance leaves no row, and
 * of one in the future, or after another of the same owner, only the owner can be seen.
 */
function isKept(source: Source, message: Message, kept: readonly Record<string, unknown>[]) {
  const { user_id, topped_up_at, balance } = message;
  if (source === topUps && isTopUp(message)) {
    if (Number(balance) <= 0) return true;
    if (text(topped_up_at) > at) return kept.some((row) => row['user_id'] === text(user_id));
  }
  const expected = source.kept(message);
  return kept.some((row) => Object.entries(row).every(([name, value]) => value === expected[name]));
}

const isTopUp = ({ user_id, topped_up_at, balance }: Message): boolean =>
  (typeof user_id === 'string' || Number.isSafeInteger(user_id)) &&
  isId(text(user_id)) &&
  Number.isSafeInteger(balance) &&
  typeof topped_up_at === 'string' &&
  /^[1-9]\d{3}(-\d\d){2} \d\d(:\d\d){2}$/.test(topped_up_at) &&
  isTime(topped_up_at.replace(' ', 'T'));

const isTime = (time: string): boolean => {
  const date = new Date(`${time}Z`);
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(time);
};

/** JSON as SQS carries it: characters that it refuses are escaped. */
const escapedJson = (message: Message): string =>
  JSON.stringify(message).replace(
    /[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu,
    (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

const table = 'anjuke_db.ajk_brokerextend';
const columns = await columnsOf(table);
const oldStamp = '2020-01-01 00:00:00';
const phoneDeps = {
  mysql: mysql<CallTables>('mysql'),
  upstream: mysql<UpstreamPhones>('mysql-upstream'),
  settings: async () => ({ safetyLagSeconds: 5, overlapSeconds: 600, pageRowsMax: 40 }),
  deliver: deliverBy(),
};
const sync = (days = 0) =>
  syncBrokerPhones(phoneDeps, {
    at: new Date(Date.now() + days * 86_400_000),
    remaining: () => 60_000,
  });
const goodBrokers = ['11', '12', '500000'];
const goodPhone = (BrokerId: string, updated_datetime: string): OddRow => ({
  BrokerId,
  UserMobile: `139 0000 ${BrokerId.padStart(4, '0').slice(-4)}`,
  updated_datetime,
});
/** Texts longer than the column, of which some are valid numbers. */
const longPhones = [
  '+86 (0) 138-1234-5678 ',
  `${' '.repeat(21)}13812345679`,
  '1'.repeat(20),
  '1'.repeat(21),
  '１'.repeat(21),
  '13800000001 / 13900000002 / 13700000003',
  '138😀'.repeat(12),
];
const phones = async () =>
  (
    await rowsOf('select broker_id, phone, digits, updated_at from user_prop_db.broker_phone')
  ).toSorted((a, b) => Number(BigInt(text(a['broker_id'])) - BigInt(text(b['broker_id']))));

const oddPhones = (stamp: string): readonly OddRow[] => {
  const others = columns.filter(({ isKey }) => !isKey);
  const base = goodPhone('1000', stamp);
  const values = [
    ...everyOddRow(others, base).map(({ row }) => row),
    ...longPhones.map((UserMobile) => ({ ...base, UserMobile })),
  ];
  const ids = columns.filter(({ isKey }) => isKey).flatMap((key) => oddValuesOf(key));
  return [
    ...values.map((row, n) => ({ ...row, BrokerId: 1_000 + n })),
    ...ids.map((BrokerId) => ({ ...base, BrokerId })),
  ];
};

/** Computes what must be stored: the digits of each usable number, and the ids of unusable rows. */
function expectedOf(rows: readonly OddRow[]) {
  const ids = rows.map(({ BrokerId }) => text(BrokerId));
  const digits = rows.map(({ UserMobile }) => digitsOf(text(UserMobile ?? '')));
  const usable = (n: number) => isId(ids[n] ?? '') && (digits[n] ?? '').length <= 20;
  return {
    known: ids
      .map((id, n): [string, string] => [id, digits[n] ?? ''])
      .filter(([, one], n) => one && usable(n))
      .toSorted(([a], [b]) => Number(BigInt(a) - BigInt(b))),
    unusable: ids.filter((_, n) => !usable(n)).toSorted(),
  };
}

const recent = async () =>
  text((await rowsOf('select now() - interval 60 second time'))[0]?.['time']);

async function expectPhones(odd: readonly OddRow[], days: number, named = true): Promise<void> {
  const stamp = text(odd[0]?.['updated_datetime'] ?? oldStamp);
  const good = goodBrokers.map((id) => goodPhone(id, stamp));
  const { known, unusable } = expectedOf([...odd, ...good]);
  const ran = await sync(days);
  const now = await phones();
  expect(now.map(({ broker_id, digits }) => [broker_id, digits])).toEqual(known);
  const beside = now.filter(({ broker_id }) => goodBrokers.includes(text(broker_id)));
  expect(beside.map(({ phone }) => phone)).toEqual(good.map(({ UserMobile }) => UserMobile));
  if (named) expect(('unusable' in ran ? (ran.unusable ?? []) : []).toSorted()).toEqual(unusable);
  expect(await sync(days)).toMatchObject({ repaired: expect.any(Number) });
  expect(await phones()).toEqual(now);
}

describe('odd messages and rows of other systems', () => {
  test.each(named)(
    '%s handles good messages as if alone when the batch has each odd value of each field',
    async (_, source) => {
      const odd = everyOddMessage(source.odd(0)).map(({ field, message }, n) =>
        field === source.name
          ? message
          : { ...message, [source.name]: source.odd(n + 1)[source.name] },
      );
      await expectGoodUnchanged(source, odd);
    },
    60_000,
  );

  test.each(named)(
    '%s handles good messages as if alone when the batch has random odd messages',
    async (_, source) => {
      const one = oddMessage(source.odd(1));
      const worse = fc.tuple(one, one).map(([{ message }, second]) => {
        const { [second.field]: _, ...rest } = message;
        return second.field in second.message
          ? { ...rest, [second.field]: second.message[second.field] }
          : rest;
      });
      await fc.assert(
        fc.asyncProperty(fc.array(worse, { minLength: 1, maxLength: 12 }), async (odd) => {
          await fresh();
          await expectGoodUnchanged(source, odd);
        }),
        { numRuns: 4, endOnFailure: true },
      );
    },
    60_000,
  );

  test(`syncBrokerPhones applies changed numbers in its scan when ${table} has each odd value of each column`, async () => {
    await loosened(table, async () => {
      await sync();
      const stamp = await recent();
      const odd = oddPhones(stamp).filter(({ updated_datetime }) => updated_datetime === stamp);
      for (const row of odd) await writeRow(table, row);
      for (const id of goodBrokers) await writeRow(table, goodPhone(id, stamp));
      await expectPhones(odd, 0);
    });
  }, 60_000);

  test(`syncBrokerPhones repairs differences in the full run and the daily comparison when ${table} has each odd value of each column`, async () => {
    await loosened(table, async () => {
      const odd = oddPhones(oldStamp);
      for (const row of odd) await writeRow(table, row);
      for (const id of goodBrokers) await writeRow(table, goodPhone(id, oldStamp));
      await expectPhones(odd, 0);
      const zero = "updated_at < '0001-01-01' or month(updated_at) = 0 or day(updated_at) = 0";
      expect(await rowsOf(`select * from user_prop_db.broker_phone where ${zero}`)).toEqual([]);
      const before = await phones();
      await run(`update user_prop_db.broker_phone set digits = '1';
      insert into user_prop_db.broker_phone values (-7, '1', '1', null), (77, '1', '1', null)`);
      await expectPhones(odd, 1);
      expect(await phones()).toEqual(before);
      expect(await sync(2)).toMatchObject({ fullRun: 'compared', repaired: 0 });
    });
  }, 60_000);

  test(`syncBrokerPhones stores good numbers when ${table} has random odd rows`, async () => {
    const others = columns.filter(({ isKey }) => !isKey);
    const one = fc
      .tuple(oddRow(others), fc.constantFrom<string | null>(null, '13712345678', ...longPhones))
      .map(([row, phone]) => (phone === null ? row : { ...row, UserMobile: phone }));
    await loosened(table, async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(one, { maxLength: 20 }), async (rows) => {
          await fresh();
          await run(`delete from ${table}`);
          const odd = rows.map((row, n) => ({ ...row, BrokerId: 1_000 + n }));
          for (const row of odd) await writeRow(table, row);
          for (const id of goodBrokers) await writeRow(table, goodPhone(id, oldStamp));
          const { known } = expectedOf([
            ...odd,
            ...goodBrokers.map((id) => goodPhone(id, oldStamp)),
          ]);
          await sync();
          const found = await phones();
          expect(found.map(({ broker_id, digits }) => [broker_id, digits])).toEqual(known);
        }),
        { numRuns: 5, endOnFailure: true },
      );
    });
  }, 60_000);
});
