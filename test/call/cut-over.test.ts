import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { postIncome } from '../../lib/call/accounting/post-income.ts';
import type { AccountingTables } from '../../lib/call/accounting-tables.ts';
import { chargeCall } from '../../lib/call/charging/charge-call.ts';
import { filterCall, filterSwitch } from '../../lib/call/filtering/filter-call.ts';
import { importHistory } from '../../lib/call/migration/import-history.ts';
import { k3 as k3Client } from '../../lib/call/partners/k3.ts';
import { payments } from '../../lib/call/partners/payment-centre.ts';
import { FinishedCall, ValidCall } from '../../lib/call/queues.ts';
import { reconcile } from '../../lib/call/reconciliation/reconcile.ts';
import { CallSettings } from '../../lib/call/settings.ts';
import { settleByHand } from '../../lib/call/settlement/settle-by-hand.ts';
import { callSwitches } from '../../lib/call/switches.ts';
import { Postponed } from '../../lib/platform/errors.ts';
import { mysql as mysqlOf } from '../../lib/platform/mysql/mysql.ts';
import { setSwitch } from '../../lib/platform/operations/set-switch.ts';
import { switches } from '../../lib/platform/operations/switches.ts';
import { plusSeconds } from '../../lib/platform/time.ts';
import { root } from '../../local/root.ts';
import { paymentAccount } from '../../local/secrets.ts';
import { accountSet } from '../../local/simulators/k3.ts';
import { resetDatabases, rowsOf, run } from '../support/databases.ts';
import {
  createHistory,
  oldCall,
  oldContract,
  oldIncome,
  oldPayment,
  oldTime,
} from '../support/history.ts';
import { partnerOf } from '../support/partners.ts';

const [centre, erp] = [partnerOf('payment'), partnerOf('k3')];
const mysql = mysqlOf<AccountingTables>('mysql');
const document = JSON.parse(readFileSync(join(root, 'config/call.json'), 'utf8'));
let current = CallSettings.parse({
  ...document,
  payment_base_api_url: centre.url,
  payment_api_timeout: 5_000,
  k3_url: erp.url,
  chargesPerMinuteMax: 1_000,
  chargesPerMinutePerOwnerMax: 1_000,
});
const settings = async () => current;
const { deduct, refund, tradeOf, statementOf } = payments(settings, async () => paymentAccount);
/** Messages of ours that wait to be charged. */
let waiting: ValidCall[] = [];
const deps = {
  mysql,
  settings,
  payments: { deduct, refund, tradeOf, statementOf },
  deliver: async (rows: readonly { readonly body: string }[]) => {
    waiting.push(...rows.map(({ body }) => ValidCall.parse(JSON.parse(body))));
    return [...rows] as never;
  },
  // A minute has passed between any two steps: nobody still has an old reading.
  firstSwitchOff: (...names: readonly string[]) => switches({ mysql })(...names),
  requireBrokersKnown: async () => {},
  now: () => new Date(),
};
const owner = 7001;
/** The first call of a pair, and the pair's next one an hour later. */
const firstAt = () => oldTime.at;
const nextAt = () => plusSeconds(oldTime.at, 3_600);

/** Calls that reached our queue and are not filtered yet. */
let incoming: FinishedCall[] = [];
/** Whoever has no caller of their own is the only one of theirs. */
const callerOf = (call_id: string) => `139${String(Number(call_id.slice(5)) + 10_000_000)}`;

/** A call reaches our queue, and is filtered unless that is switched off. */
async function ours(call_id: string, { caller = callerOf(call_id), at = firstAt() } = {}) {
  incoming.push(
    FinishedCall.parse({
      call_id,
      routing_key: 'postcallinfo_dyz',
      user_id: owner,
      status: 1,
      duration: 60,
      caller,
      callee: '4008001234',
      started_at: at,
    }),
  );
  return await filter();
}

/** All calls on our queue are tried once; gives the outcomes. */
async function filter(): Promise<string[]> {
  const messages = incoming;
  incoming = [];
  const outcomes: string[] = [];
  for (const message of messages)
    try {
      outcomes.push((await filterCall(deps, message)).outcome);
    } catch (error) {
      if (!(error instanceof Postponed)) throw error;
      incoming.push(message);
      outcomes.push('postponed');
    }
  return outcomes;
}

/** All that waits is tried once; gives the outcomes. */
async function charge(): Promise<string[]> {
  const messages = waiting;
  waiting = [];
  const outcomes: string[] = [];
  for (const message of messages)
    try {
      outcomes.push((await chargeCall(deps, message)).outcome);
    } catch (error) {
      if (!(error instanceof Postponed)) throw error;
      waiting.push(message);
      outcomes.push('postponed');
    }
  return outcomes;
}

let oldNumber = 830_000_000_000;

/** The old job charges a call that it has logged. */
async function oldCharges(id: number): Promise<void> {
  oldNumber += 1;
  await deduct({ tradeId: String(oldNumber), userId: String(owner), amountFen: 4_000 });
  await oldPayment(oldNumber, id);
}

/** A call reaches the old job, which logs and charges it. */
async function old(id: number): Promise<void> {
  await oldCall(id, `call-${id}`);
  await oldCharges(id);
}

/** The old job takes a call from its queue: what its log has decided is done; a pair is charged once within a day. */
async function oldFilters(id: number, { caller = callerOf(`call-${id}`), at = firstAt() } = {}) {
  const history = 'sublessor_history.sublessor_call_log_201409';
  const find = () =>
    rowsOf(`select id, filter_rule from ${history} where call_id = ?`, [`call-${id}`]);
  const [{ next } = { next: 1 }] = await rowsOf(
    `select greatest(coalesce(max(id), 0) + 1, 101) next from ${history}`,
  );
  if (!(await find()).length)
    await oldCall(Number(next), `call-${id}`, null, owner, { caller, startedAt: at });
  const [row] = await find();
  if (row?.['filter_rule'] !== null) return;
  const before = await rowsOf(
    `select id from ${history} where caller = ? and filter_rule is not null and id <> ?
      and started_at > ? - interval 1 day and started_at <= ?`,
    [caller, row['id'], at, at],
  );
  await run(`update ${history} set filter_rule = ? where id = ?`, [
    before.length ? 4 : 1,
    row['id'],
  ]);
  if (!before.length) await oldCharges(Number(row['id']));
}

const person = { by: 'lena', why: 'cut-over' };
const switched = (name: string, state: 'on' | 'off') =>
  setSwitch({ mysql: mysql as never, known: callSwitches }, { name, state, ...person });
const charging = (state: 'on' | 'off') => switched('charging', state);
const filtering = (state: 'on' | 'off') => switched(filterSwitch, state);
const shadow = (on: boolean) => {
  current = { ...current, shadow: on };
};
const hand = { remaining: () => 600_000, progress: () => {} };
const imported = (what: 'calls' | 'money') => importHistory(deps, { what, ...person }, hand);
const trades = async () =>
  (await centre.state<{ trades: { trade_id: string; amount: number }[] }>()).trades;
const reconciled = async () => {
  const { outcome } = await reconcile(
    { ...deps, k3: k3Client(settings) },
    { from: oldTime.at.slice(0, 10), to: oldTime.at.slice(0, 10) },
    hand,
  );
  const found = await rowsOf('select kind, subject from user_prop_db.sublessor_difference');
  return [outcome, ...found.map(({ kind, subject }) => `${kind}: ${subject}`)];
};

const page = readFileSync(join(root, 'docs/runbooks/cut-over.md'), 'utf8');
const sections = page.split(/^## /m).slice(1);

test('the page gives each step of a section one number, in order', () => {
  expect(sections.map((section) => section.split('\n', 1)[0])).toEqual([
    ...['Before: shadow', 'The switch', 'The way back'],
  ]);
  for (const section of sections) {
    const numbers = [...section.matchAll(/^(\d+)\. /gm)].map(([, number]) => Number(number));
    expect(numbers).toEqual(numbers.map((_, index) => index + 1));
    expect(numbers.length).toBeGreaterThan(2);
  }
});

test('the page ends shadow mode after decisions and charges are switched off, and switches them on after the import', () => {
  const [section = ''] = sections.filter((one) => one.startsWith('The switch'));
  const places = [
    ...['switch off charging', 'switch off call/filter-call', '"shadow": false'],
    ...['"what": "money"', 'switch on call/filter-call', 'switch on charging'],
  ].map((step) => section.split(step).map((part) => part.length));
  expect(places.map((parts) => parts.length)).toEqual([2, 2, 2, 2, 2, 2]);
  const order = places.map(([before = 0]) => before);
  expect(order).toEqual(order.toSorted((a, b) => a - b));
});

async function begin(): Promise<void> {
  await resetDatabases();
  await createHistory();
  await Promise.all([centre.reset(), erp.reset()]);
  await run(
    'alter table user_prop_db.sublessor_call_payment_log_201409 auto_increment = 820000000000',
  );
  await centre.ask('/__accounts', { user_id: owner, balance: 1_000_000 });
  const [row] = await rowsOf('select now() now');
  oldTime.at = String(row?.['now']);
  await oldContract(11, 100_000, 96_000);
  await erp.ask('/contracts', {
    KDAccount: accountSet,
    number: 'C-11',
    customer: '客户',
    amount: 100_000,
    signed_at: '2026-09-01 10:00:00',
  });
}

test('there and back and there again, with calls and pairs between any two steps: each is charged once, by one of the two', async () => {
  await begin();

  // Before: shadow.
  shadow(true);
  await old(1);
  await oldIncome(9_001, oldNumber, 11);
  expect(await ours('call-1')).toEqual(['shadowed']);
  expect(await ours('call-2')).toEqual(['shadowed']);
  await old(2);
  expect(await imported('calls')).toMatchObject({ outcome: 'imported', imported: 2 });
  expect(waiting).toEqual([]);

  // The switch. Two pairs call the old job first, another calls ours only, all again an hour later.
  const [one, two, three] = ['13800000001', '13800000002', '13800000003'];
  await charging('off');
  await filtering('off');
  await old(3);
  expect(await ours('call-3')).toEqual(['postponed']);
  await oldFilters(21, { caller: one });
  await ours('call-21', { caller: one });
  await ours('call-4');
  await old(4);
  await ours('call-5'); // From here on the 400 service posts to ours only.
  await ours('call-22', { caller: one, at: nextAt() });
  await ours('call-24', { caller: two, at: nextAt() });
  await ours('call-25', { caller: three });
  await oldFilters(23, { caller: two }); // It was on the old job's queue for long.
  await oldCall(6, 'call-6', null);
  shadow(false);
  expect(await imported('money')).toMatchObject({ outcome: 'open-in-old-system', calls: 1 });
  await run('update sublessor_history.sublessor_call_log_201409 set filter_rule = 1 where id = 6');
  await oldCharges(6);
  expect(await imported('calls')).toMatchObject({ outcome: 'imported' });
  await ours('call-6'); // It was on both queues.
  await ours('call-23', { caller: two });
  expect(await imported('money')).toMatchObject({ outcome: 'imported' });
  expect(waiting).toEqual([]);
  await filtering('on');
  expect((await filter()).toSorted()).toEqual([
    ...Array.from({ length: 5 }, () => 'already-decided'),
    ...['called-before', 'called-before'], // 22 and 24: the old job charged their pairs.
    ...['valid', 'valid'],
  ]);
  expect(await charge()).toEqual(['postponed', 'postponed']);
  await postIncome(deps, hand);
  expect(await reconciled()).toEqual([
    ...['differences', 'valid call without charge: call call-25'],
    'valid call without charge: call call-5',
  ]);
  await charging('on');
  expect(await charge()).toEqual(['charged', 'charged']);
  await postIncome(deps, hand);
  expect(await reconciled()).toEqual(['balanced']);
  expect(await trades()).toHaveLength(9);

  // The way back.
  await ours('call-7');
  expect(await charge()).toEqual(['charged']);
  await ours('call-26', { caller: three, at: nextAt() });
  expect(await charge()).toEqual([]);
  await ours('call-9');
  await centre.fault('error', 1, '/trade/deduct');
  expect(await charge()).toEqual(['unknown']);
  await charging('off');
  await ours('call-8');
  expect(await charge()).toEqual(['postponed']);
  await run(`update user_prop_db.sublessor_call_payment_log_201409
    set sent_at = sent_at - interval 11 minute`);
  const [open] = await rowsOf(`select id from user_prop_db.sublessor_call_payment_log_201409
    where state in ('intent', 'sent', 'unknown')`);
  const proof = 'the payment centre has never seen it';
  const settled = { payment_id: String(open?.['id']), to: 'free', proof, ...person } as const;
  expect(await settleByHand(deps, settled)).toMatchObject({ outcome: 'released' });
  expect(await charge()).toEqual(['postponed', 'postponed']);
  await postIncome(deps, hand);
  // From here on the 400 service posts to both; the pair's next call is decided by ours before, or by the old job after.
  const [four, five] = ['13800000004', '13800000005'];
  await ours('call-27', { caller: four });
  await ours('call-28', { caller: four, at: nextAt() });
  await filtering('off');
  expect(await ours('call-29', { caller: callerOf('call-7'), at: nextAt() })).toEqual([
    'postponed',
  ]);
  await ours('call-30', { caller: five });
  await run(page.match(/```sql\n([\s\S]*?)```/)?.[1] ?? '');
  shadow(true);
  await filtering('on');
  await charging('on');
  expect(await filter()).toEqual(['shadowed', 'shadowed']);
  const waits = Array.from({ length: 3 }, () => 'postponed');
  expect(await charge()).toEqual(waits);
  const undecided =
    await rowsOf(`select id, call_id from sublessor_history.sublessor_call_log_201409
    where filter_rule is null order by call_id`);
  expect(undecided.map(({ call_id }) => call_id)).toEqual(['call-27', 'call-8', 'call-9']);
  const [{ highest } = { highest: 0 }] = await rowsOf(
    'select max(id) highest from sublessor_history.sublessor_call_payment_log_201409',
  );
  oldNumber = Number(highest);
  await oldFilters(8);
  await oldFilters(9);
  await oldFilters(27, { caller: four });
  await oldFilters(28, { caller: four, at: nextAt() });
  await oldFilters(29, { caller: callerOf('call-7'), at: nextAt() });
  await oldFilters(30, { caller: five });
  expect(await charge()).toEqual(waits);

  // There again: what waits since the first time finds the old job's charges.
  await charging('off');
  await filtering('off');
  await ours('call-31', { caller: five, at: nextAt() });
  shadow(false);
  expect(await imported('calls')).toMatchObject({ outcome: 'imported' });
  expect(await imported('money')).toMatchObject({ outcome: 'imported' });
  await filtering('on');
  expect(await filter()).toEqual(['called-before']);
  await charging('on');
  expect(await charge()).toEqual(['already-charged', 'already-charged', 'already-charged']);
  await postIncome(deps, hand);

  const all = await trades();
  const charged = await rowsOf(
    `select c.call_id, p.id from user_prop_db.sublessor_call_payment_log_201409 p
     join user_prop_db.sublessor_call_log_201409 c on c.id = p.call_log_id
     where p.state = 'charged' order by c.call_id`,
  );
  const calls = [...Array.from({ length: 9 }, (_, index) => index + 1), 21, 23, 25, 27, 30];
  expect(charged.map(({ call_id }) => call_id)).toEqual(calls.map((id) => `call-${id}`).toSorted());
  expect(charged.map(({ id }) => id).toSorted()).toEqual(
    all.map(({ trade_id }) => trade_id).toSorted(),
  );
  expect(all.map(({ amount }) => amount)).toEqual(calls.map(() => 4_000));
}, 60_000);
