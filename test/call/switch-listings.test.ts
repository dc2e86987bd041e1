import type { SQSEvent } from 'aws-lambda';
import { beforeEach, expect, test, vi } from 'vitest';
import type { AccountingTables } from '../../lib/call/accounting-tables.ts';
import { type ListingDeps, switchListings } from '../../lib/call/listings/switch-listings.ts';
import { listingSwitches } from '../../lib/call/queues.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { partner as partnerClient } from '../../lib/platform/partners/partner.ts';
import { owner, payment } from '../support/accounting.ts';
import { resetDatabases, rowsOf, run } from '../support/databases.ts';
import { contextOf, eventOf, redelivered, sqsEvent } from '../support/lambda.ts';
import { partnerOf } from '../support/partners.ts';
import { take, takeDead, testDeadLetterQueue } from '../support/queues.ts';

const dead = await testDeadLetterQueue(listingSwitches);
const { handler } = await import('../../functions/call/switch-listings.ts');

const id = 'call/switch-listings';
const listing = partnerOf('listing');
const outOfMoney = eventOf<SQSEvent>(id, 'out-of-money');
const toppedUp = eventOf<SQSEvent>(id, 'topped-up');
const handle = (event: SQSEvent) => handler(event, contextOf());
const topUp = (topped_up_at: string, balance = 500_000) =>
  sqsEvent({ user_id: Number(owner), topped_up_at, balance });
const gone = (paymentId: string, why: string) => sqsEvent({ userId: owner, paymentId, why });

interface Users {
  readonly users: Record<string, { online: boolean; history: { to: string; reason: string }[] }>;
}
const shown = async () => (await listing.state<Users>()).users[owner];
const history = async () => (await shown())?.history.map(({ to }) => to) ?? [];
const ours = async () =>
  (await rowsOf('select state, request_id, request_done from user_prop_db.sublessor_listings'))[0];
const waiting = () =>
  rowsOf(`select timestampdiff(second, now(3), due_at) seconds, held_by from signalbox.outbox
    where destination like 'queue:%'`);

const first = '820000000001';

beforeEach(async () => {
  await resetDatabases();
  await listing.reset();
  await take(dead);
  await payment({ id: first, at: '2026-11-20 10:00:00' });
});

test('offline when the money is used up, online after a top-up, each once', async () => {
  await Promise.all([handle(outOfMoney), handle(outOfMoney)]);
  await handle(outOfMoney);
  expect(await shown()).toMatchObject({ online: false, history: [{ reason: 'balance is 0' }] });
  await handle(toppedUp);
  await handle(toppedUp);
  await handle(outOfMoney);
  expect(await history()).toEqual(['offline', 'online']);
  expect(await ours()).toMatchObject({ state: 'online', request_id: `online-${first}` });
});

test('a top-up between the charge and its late answer shows them again: it counts when the charge was sent', async () => {
  await handle(outOfMoney);
  const [row] = await rowsOf(
    `select timestampdiff(second, '2026-11-20 10:00:30', updated_at) left_seconds,
      timestampdiff(second, '2026-11-20 10:00:30', created_at) began
     from user_prop_db.sublessor_call_payment_log_201409`,
  );
  expect(row).toEqual({ left_seconds: '60', began: '-31' });
  await handle(topUp('2026-11-20 10:00:30'));
  expect(await history()).toEqual(['offline', 'online']);
});

test('a top-up that is older than the reason leaves them offline', async () => {
  await handle(outOfMoney);
  await handle(topUp('2026-11-20 09:59:59'));
  await handle(topUp('2026-11-20 10:00:00', 0));
  expect(await history()).toEqual(['offline']);
  await handle(topUp('2026-11-20 10:00:01'));
  expect(await history()).toEqual(['offline', 'online']);
});

test.each([
  ['after', [outOfMoney, topUp('2026-11-20 10:00:00')], ['offline', 'online']],
  ['before', [topUp('2026-11-20 10:00:00'), outOfMoney], []],
])(
  'a top-up in the second of the charge that used up the money, told %s it: they end online',
  async (_, events, expected) => {
    await run(
      "update user_prop_db.sublessor_call_payment_log_201409 set sent_at = '2026-11-20 10:00:00.700'",
    );
    for (const event of events) await handle(event);
    expect(await history()).toEqual(expected);
    expect((await shown())?.online ?? true).toBe(true);
  },
);

const later = async (seconds: number) =>
  String((await rowsOf('select now() + interval ? second at', [seconds]))[0]?.['at']);

test('a top-up that is stamped in the future counts from when it was told, once', async () => {
  await handle(outOfMoney);
  const ahead = topUp('2099-01-01 00:00:00');
  await handle(ahead);
  expect(await history()).toEqual(['offline', 'online']);
  await payment({ id: '820000000002', at: await later(1) });
  await handle(gone('820000000002', 'balance is 0'));
  expect(await history()).toEqual(['offline', 'online', 'offline']);
  await run(
    `update user_prop_db.sublessor_call_payment_log_201409 set sent_at = sent_at - interval 1 second`,
  );
  await handle(ahead); // Delivered once more.
  expect(await history()).toEqual(['offline', 'online', 'offline']);
  await vi.waitUntil(async () => (await later(-2)) >= (await causeAt()), { timeout: 20_000 });
  await handle(topUp(await later(-1)));
  expect(await history()).toEqual(['offline', 'online', 'offline', 'online']);
});

const causeAt = async () =>
  String((await rowsOf('select cause_at from user_prop_db.sublessor_listings'))[0]?.['cause_at']);

test('a stamp of the future that was noted before keeps nothing online', async () => {
  await run(
    `insert into user_prop_db.sublessor_listings (user_id, topped_up_at) values (?, '2099-01-01 00:00:00')`,
    [owner],
  );
  await handle(outOfMoney);
  expect(await history()).toEqual(['offline']);
  await handle(topUp('2026-11-20 10:00:01'));
  expect(await history()).toEqual(['offline', 'online']);
});

test('no top-up ends a refusal whose reason is not known', async () => {
  await handle(gone(first, 'reason unknown'));
  await handle(toppedUp);
  expect(await history()).toEqual(['offline']);
});

test('a top-up that came before the message of the reason keeps them online', async () => {
  await handle(toppedUp);
  await handle(outOfMoney);
  expect(await history()).toEqual([]);
  await payment({ id: '820000000002', at: '2026-11-20 12:00:01' });
  await handle(gone('820000000002', 'not enough money'));
  await handle(topUp('2026-11-20 12:00:00'));
  expect(await history()).toEqual(['offline']);
});

test('money does not help an account that is frozen or unknown', async () => {
  await handle(gone(first, 'account frozen'));
  await handle(toppedUp);
  expect(await history()).toEqual(['offline']);
  await payment({ id: '820000000002', at: '2026-11-20 13:00:00' });
  await handle(gone('820000000002', 'balance is 0'));
  await handle(topUp('2026-11-20 14:00:00'));
  expect(await history()).toEqual(['offline', 'offline', 'online']);
});

test('a top-up of who never went, or that leaves a debt, does nothing', async () => {
  await handle(toppedUp);
  await handle(outOfMoney);
  await handle(topUp('2026-11-20 13:00:00', 0));
  expect(await history()).toEqual([]);
  await run('delete from user_prop_db.sublessor_listings');
  await handle(outOfMoney);
  await handle(topUp('2026-11-20 13:00:00', 0));
  expect(await history()).toEqual(['offline']);
});

test('a lost answer is asked for again under the same id, and carried out once', async () => {
  await listing.fault('lose_answer', 2);
  const result = await handle(outOfMoney);
  expect(redelivered(outOfMoney, result)).toEqual([]);
  expect(await waiting()).toMatchObject([{ held_by: null }]);
  expect(await ours()).toMatchObject({ state: 'online', request_done: 0 });
  await run('update user_prop_db.sublessor_listings set held_until = now(3)');
  await handle(outOfMoney);
  expect(await history()).toEqual(['offline']);
  expect(await ours()).toMatchObject({ state: 'offline', request_done: 1 });
});

test('a top-up takes back a request whose answer never came', async () => {
  await listing.fault('lose_answer', 2);
  await handle(outOfMoney);
  await run('update user_prop_db.sublessor_listings set held_until = now(3)');
  await handle(toppedUp);
  expect(await history()).toEqual(['offline', 'online']);
  await handle(outOfMoney);
  expect(await shown()).toMatchObject({ online: true });
});

test('the service away, or refusing: put off a minute, then two', async () => {
  await listing.fault('error', 2);
  await handle(outOfMoney);
  const [once] = await waiting();
  expect(Number(once?.['seconds'])).toBeGreaterThan(50);
  expect(Number(once?.['seconds'])).toBeLessThanOrEqual(60);
  await run('update user_prop_db.sublessor_listings set held_until = now(3)');
  await run('delete from signalbox.outbox');
  await listing.fault('refuse', 2);
  await handle(outOfMoney);
  const [twice] = await waiting();
  expect(Number(twice?.['seconds'])).toBeGreaterThan(110);
  expect(await history()).toEqual([]);
});

test('who finds the owner in hand waits until that is over', async () => {
  await handle(outOfMoney);
  await run(`update user_prop_db.sublessor_listings
    set request_done = 0, held_until = now(3) + interval 40 second`);
  await handle(toppedUp);
  const [row] = await waiting();
  expect(Number(row?.['seconds'])).toBeGreaterThan(30);
  expect(await history()).toEqual(['offline']);
});

const sent: unknown[] = [];
const deps: ListingDeps = {
  mysql: mysql<AccountingTables>('mysql'),
  listings: partnerClient({
    name: 'the listing service',
    baseUrl: listing.url,
    timeoutMs: 1_000,
    retry: { attemptsMax: 1, delayMs: 0 },
  }),
  deliver: async (rows) => {
    sent.push(...rows.map(({ destination, body }) => [destination, JSON.parse(body)]));
    return [...rows];
  },
  firstSwitchOff: async () => undefined,
};

test('a kill switch holds what concerns the listing service', async () => {
  const firstSwitchOff = async () => 'partner/listing';
  const message = { userId: owner, paymentId: first, why: 'balance is 0' } as const;
  await expect(
    switchListings({ ...deps, firstSwitchOff: firstSwitchOff }, message),
  ).rejects.toMatchObject({
    name: 'Postponed',
    heldBy: 'partner/listing',
  });
  expect(await history()).toEqual([]);
});

test('an event says that they were switched, and only when they were', async () => {
  const message = { userId: owner, paymentId: first, why: 'balance is 0' } as const;
  expect(await switchListings(deps, message)).toMatchObject({ outcome: 'offline', listings: 3 });
  expect(await switchListings(deps, message)).toBe('already-offline');
  await payment({ id: '820000000002', at: '2026-11-20 10:30:00' });
  await switchListings(deps, { ...message, paymentId: '820000000002' });
  const paid = { user_id: owner, topped_up_at: '2026-11-20 12:00:00', balance: 1 };
  expect(await switchListings(deps, paid)).toMatchObject({ outcome: 'online' });
  expect(sent).toEqual([
    ['event:call/listings-switched', { userId: owner, online: false, paymentId: first }],
    ['event:call/listings-switched', { userId: owner, online: true, paymentId: '820000000002' }],
  ]);
});

test('a payment of another owner, or none, is set aside', async () => {
  await handle(gone('820000000009', 'balance is 0'));
  expect(await takeDead(dead)).toMatchObject([
    { reason: 'Payment 820000000009 does not belong to owner 7001' },
  ]);
});
