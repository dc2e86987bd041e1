import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { AdvancePaymentIds } from '../../lib/call/inputs.ts';
import { advancePaymentIds } from '../../lib/call/migration/advance-payment-ids.ts';
import { payments } from '../../lib/call/partners/payment-centre.ts';
import { callsToCharge, listingSwitches } from '../../lib/call/queues.ts';
import { callSwitches } from '../../lib/call/switches.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { setSwitch } from '../../lib/platform/operations/set-switch.ts';
import { switches } from '../../lib/platform/operations/switches.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';
import { root } from '../../local/root.ts';
import { paymentAccount } from '../../local/secrets.ts';
import { account, chargeRows, decidedCall, ledger, resetCalls } from '../support/calls.ts';
import { rowsOf, run } from '../support/databases.ts';
import { contextOf, eventOf, sqsEvent } from '../support/lambda.ts';
import { testDeadLetterQueue, testQueue } from '../support/queues.ts';
import { workerServers } from '../support/started.ts';

await testDeadLetterQueue(callsToCharge);
await testQueue(listingSwitches);
const { handler: charge } = await import('../../functions/call/charge-call.ts');
const { handler } = await import('../../functions/call/advance-payment-ids.ts');

const { payment: url } = (await workerServers()).simulators;
const db = mysql<PlatformTables>('mysql');
const settings = async () => ({ payment_base_api_url: url, payment_api_timeout: 2_000 });
const client = payments(settings, async () => paymentAccount);
const log = 'user_prop_db.sublessor_call_payment_log_201409';
const input = eventOf<Record<string, unknown>>('call/advance-payment-ids', 'restored');
const hand = { remaining: () => 200_000, progress: () => {} };
/** With switches of its own: a function that was warm would know them for ten seconds. */
const advance = (changed: Record<string, unknown> = {}) =>
  advancePaymentIds(
    { mysql: db as never, payments: client, firstSwitchOff: switches({ mysql: db }) },
    AdvancePaymentIds.parse({ ...input, ...changed }),
    hand,
  );

const chargeOne = async (userId: number) => {
  await charge(sqsEvent(await decidedCall(userId)), contextOf());
};

/** The payment log as it was: rows after `id` are gone, and ids begin again after it. */
async function restoreTo(id: string): Promise<void> {
  await run(`delete from ${log} where id > ?`, [id]);
  await run(`alter table ${log} auto_increment = ${BigInt(id) + 1n}`);
}

beforeEach(resetCalls);

test('a call after a restore is not charged under an id that the payment centre knows, when the runbook is followed', async () => {
  await account(42, 100_000);
  await account(43, 100_000);
  await account(44, 0);
  await chargeOne(42);
  const [{ id: backup } = {}] = await chargeRows();
  for (const owner of [42, 43, 42, 44]) await chargeOne(owner); // The lost time; the last is refused.
  await restoreTo(String(backup));

  const page = readFileSync(join(root, 'docs/runbooks/restored-database.md'), 'utf8');
  await run(page.match(/```sql\n([\s\S]*?)```/)?.[1] ?? '');
  const answer = await advance();
  expect(answer).toEqual({
    outcome: 'advanced',
    highest_ours: '820000000000',
    highest_theirs: '820000000003',
    next: '820001000003',
  });
  const person = { by: 'lena', why: 'ids are above those of the payment centre' };
  await setSwitch({ mysql: db, known: callSwitches }, { name: 'charging', state: 'on', ...person });
  const lost = (await ledger()).trades.length;
  for (const owner of [42, 43, 44]) await chargeOne(owner);

  const { trades, accounts } = await ledger();
  expect(trades).toHaveLength(lost + 3);
  const rows = (await chargeRows()).map(({ id, user_id, state, balance_fen }) => [
    ...[id, user_id, state, balance_fen],
  ]);
  expect(rows).toEqual([
    ['820000000000', '42', 'charged', '96000'],
    ['820001000003', '42', 'charged', '84000'],
    ['820001000004', '43', 'charged', '92000'],
    ['820001000005', '44', 'refused', '0'],
  ]);
  expect([accounts['42']?.balance, accounts['43']?.balance]).toEqual([84_000, 92_000]);
});

test('the ids of payments stay where they are when it is started again, and the trail says who', async () => {
  await account(42, 100_000);
  await chargeOne(42);
  await run(
    "insert into signalbox.switch (name, state, `by`, why) values ('charging', 'off', 'a', 'b')",
  );
  const first = await advance();
  expect(await advance()).toEqual(first);
  const rows = await rowsOf('select who, what, why from signalbox.audit');
  expect(rows).toEqual([
    { who: 'lena', what: 'call/advance-payment-ids', why: input['why'] },
    { who: 'lena', what: 'call/advance-payment-ids', why: input['why'] },
  ]);
  expect(await chargeRows()).toHaveLength(1);
});

test('the ids of payments are not moved while charges may begin', async () => {
  expect(await handler(input, contextOf(200_000))).toEqual({
    outcome: 'charging-not-switched-off',
  });
});

test('the ids of payments stay where they are while partner/payment is off: the payment centre is not asked', async () => {
  await run(
    "insert into signalbox.switch (name, state, `by`, why) values ('charging', 'off', 'a', 'b'), ('partner/payment', 'off', 'a', 'b')",
  );
  const asked = async (): Promise<never> => {
    throw new Error('The payment centre was asked.');
  };
  const deps = { mysql: db as never, payments: { statementOf: asked, tradeOf: asked } };
  const parsed = AdvancePaymentIds.parse(input);
  expect(
    await advancePaymentIds({ ...deps, firstSwitchOff: switches({ mysql: db }) }, parsed, hand),
  ).toEqual({ outcome: 'switched-off', switch: 'partner/payment' });
  expect(await rowsOf('select what from signalbox.audit')).toEqual([]);
});

test('a day that was passed over is noticed by the trade that is known above it', async () => {
  await run(
    "insert into signalbox.switch (name, state, `by`, why) values ('charging', 'off', 'a', 'b')",
  );
  await account(42, 100_000);
  await client.deduct({ tradeId: '1000000', userId: '42', amountFen: 4_000 });
  const tomorrow = String((await rowsOf('select date(now() + interval 1 day) day'))[0]?.['day']);
  await expect(advance({ from: tomorrow })).rejects.toThrow(
    'knows trade 1000000, which should be free: name an earlier',
  );
});

test('the statements that are left are read by the next invocation when time runs out', async () => {
  await run(
    "insert into signalbox.switch (name, state, `by`, why) values ('charging', 'off', 'a', 'b')",
  );
  const [row] = await rowsOf('select date(now() - interval 3 day) day');
  const deps = { mysql: db as never, payments: client, firstSwitchOff: switches({ mysql: db }) };
  let parsed = AdvancePaymentIds.parse({ ...input, from: row?.['day'] });
  let invocations = 0;
  for (;;) {
    const answer = await advancePaymentIds(deps, parsed, { ...hand, remaining: () => 1 });
    invocations += 1;
    if (!('resume' in answer) || !answer['resume']) break;
    parsed = AdvancePaymentIds.parse(answer['resume']);
  }
  expect(invocations).toBe(4);
});

test('advance-payment-ids names trades of earlier invocations that it passed over when it is resumed', async () => {
  const trade = '999999999999999999';
  const [{ first, yesterday } = {}] = await rowsOf(
    'select date(now() - interval 2 day) first, date(now() - interval 1 day) yesterday',
  );
  const run = (given: unknown, remainingMs: number) =>
    advancePaymentIds(
      {
        mysql: db as never,
        firstSwitchOff: async (name) => (name === 'charging' ? name : undefined),
        payments: {
          ...client,
          statementOf: async (day) =>
            day === first ? [{ tradeId: trade, userId: '42', amountFen: 4_000 } as never] : [],
        },
      },
      AdvancePaymentIds.parse(given),
      { ...hand, remaining: () => remainingMs },
    );
  const stopped = await run({ ...input, from: first }, 0);
  expect(stopped).toMatchObject({ outcome: 'out-of-time', resume: { from: yesterday } });
  expect(await run('resume' in stopped ? stopped['resume'] : {}, 200_000)).toMatchObject({
    outcome: 'advanced',
    passed_over: [trade],
  });
});
