import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { AccountingTables } from '../../lib/call/accounting-tables.ts';
import { filterCall } from '../../lib/call/calls.ts';
import { chargeCall } from '../../lib/call/charges.ts';
import { importHistory } from '../../lib/call/history.ts';
import { postIncome } from '../../lib/call/income.ts';
import { k3 as k3Client } from '../../lib/call/k3.ts';
import { payments } from '../../lib/call/payments.ts';
import { FinishedCall, ValidCall } from '../../lib/call/queues.ts';
import { reconcile } from '../../lib/call/reconciliation.ts';
import { CallSettings } from '../../lib/call/settings.ts';
import { callSwitches } from '../../lib/call/switches.ts';
import { Postponed } from '../../lib/platform/errors.ts';
import { setSwitch } from '../../lib/platform/kill-switch.ts';
import { mysql as mysqlOf } from '../../lib/platform/mysql.ts';
import { switches } from '../../lib/platform/switches.ts';
import { paymentAccount } from '../../local/secrets.ts';
import { accountSet } from '../../local/simulators/k3.ts';
import { root } from '../../local/stack.ts';
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
  ...{ mysql, settings, payments: { deduct, refund, tradeOf, statementOf } },
  deliver: async (rows: readonly { readonly body: string }[]) => {
    waiting.push(...rows.map(({ body }) => ValidCall.parse(JSON.parse(body))));
    return [...rows] as never;
  },
  // A minute has passed between any two steps: nobody still has an old reading.
  stopped: (...names: readonly string[]) => switches({ mysql })(...names),
  now: () => new Date(),
};
const owner = 7001;

/** A call reaches our queue. */
const ours = (call_id: string) =>
  filterCall(
    deps,
    FinishedCall.parse({
      ...{ call_id, routing_key: 'postcallinfo_dyz', user_id: owner, status: 1, duration: 60 },
      ...{ caller: `139${String(Number(call_id.slice(5)) + 10_000_000)}`, callee: '4008001234' },
      started_at: oldTime.at,
    }),
  );

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

const person = { by: 'lena', why: 'cut-over' };
const charging = (state: 'on' | 'off') =>
  setSwitch({ mysql: mysql as never, known: callSwitches }, { name: 'charging', state, ...person });
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
    ...{ KDAccount: accountSet, number: 'C-11', customer: '客户', amount: 100_000 },
    signed_at: '2026-09-01 10:00:00',
  });
}

test('there and back, with calls between any two steps: each is charged once, by one of the two', async () => {
  await begin();

  // Before: shadow.
  shadow(true);
  await old(1);
  await oldIncome(9_001, oldNumber, 11);
  await ours('call-1');
  await ours('call-2');
  await old(2);
  expect(await imported('calls')).toMatchObject({ outcome: 'imported', imported: 2 });
  expect(waiting).toEqual([]);

  // The switch.
  await charging('off');
  await old(3);
  await ours('call-3');
  shadow(false);
  await ours('call-4');
  await old(4);
  expect(await charge()).toEqual(['postponed']);
  await ours('call-5'); // The old job has stopped.
  await oldCall(6, 'call-6', null);
  expect(await imported('money')).toMatchObject({ outcome: 'open in the old system', calls: 1 });
  await run('update sublessor_history.sublessor_call_log_201409 set filter_rule = 1 where id = 6');
  await oldCharges(6);
  expect(await imported('calls')).toMatchObject({ outcome: 'imported' });
  await ours('call-6'); // It was on both queues.
  expect(await imported('money')).toMatchObject({ outcome: 'imported' });
  expect(await charge()).toEqual(['postponed', 'postponed']);
  await postIncome(deps, hand);
  expect(await reconciled()).toEqual([
    ...['differences', 'valid call without charge: call call-5'],
  ]);
  await charging('on');
  expect(await charge()).toEqual(['charged before', 'charged']);
  await postIncome(deps, hand);
  expect(await reconciled()).toEqual(['balanced']);
  expect(await trades()).toHaveLength(6);

  // The way back.
  await ours('call-7');
  expect(await charge()).toEqual(['charged']);
  await charging('off');
  await ours('call-8');
  expect(await charge()).toEqual(['postponed']);
  await postIncome(deps, hand);
  const page = readFileSync(join(root, 'docs/runbooks/cut-over.md'), 'utf8');
  await run(page.match(/```sql\n([\s\S]*?)```/)?.[1] ?? '');
  shadow(true);
  await charging('on');
  expect(await charge()).toEqual(['postponed']);
  const undecided = await rowsOf(
    'select id, call_id from sublessor_history.sublessor_call_log_201409 where filter_rule is null',
  );
  expect(undecided.map(({ call_id }) => call_id)).toEqual(['call-8']);
  const [{ highest } = { highest: 0 }] = await rowsOf(
    'select max(id) highest from sublessor_history.sublessor_call_payment_log_201409',
  );
  oldNumber = Number(highest);
  await oldCharges(Number(undecided[0]?.['id']));
  expect(await charge()).toEqual(['postponed']);

  const all = await trades();
  expect(all).toHaveLength(8);
  expect(new Set(all.map(({ trade_id }) => trade_id)).size).toBe(8);
  const charged = await rowsOf(
    `select c.call_id, p.id from sublessor_history.sublessor_call_payment_log_201409 p
     join sublessor_history.sublessor_call_log_201409 c on c.id = p.call_log_id
     where p.state = 'charged' order by c.call_id`,
  );
  expect(charged.map(({ call_id }) => call_id)).toEqual(
    Array.from({ length: 8 }, (_, index) => `call-${index + 1}`),
  );
  expect(charged.map(({ id }) => id).toSorted()).toEqual(
    all.map(({ trade_id }) => trade_id).toSorted(),
  );
}, 60_000);
