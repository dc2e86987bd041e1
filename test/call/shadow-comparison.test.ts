import { beforeEach, describe, expect, test } from 'vitest';
import { chargeCall } from '../../lib/call/charging/charge-call.ts';
import { filterAndQueue } from '../../lib/call/filtering/filter-call.ts';
import { callsToCharge, FinishedCall } from '../../lib/call/queues.ts';
import { CallSettings } from '../../lib/call/settings.ts';
import { settleUnknownCharges } from '../../lib/call/settlement/settle-unknown-charges.ts';
import type { CallTables } from '../../lib/call/tables.ts';
import { settings } from '../../lib/platform/lambda/config.ts';
import { deliverBy, queueChannel } from '../../lib/platform/messaging/outbox.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { chargeRows, decidedCall, ledger, resetCalls } from '../support/calls.ts';
import { rowsOf, run } from '../support/databases.ts';
import { take, testQueue } from '../support/queues.ts';

const valid = await testQueue(callsToCharge);
const document = settings('call', CallSettings);
const deps = {
  mysql: mysql<CallTables>('mysql'),
  settings: async () => ({ ...(await document()), shadow: true }),
  deliver: deliverBy(queueChannel(callsToCharge)),
  firstSwitchOff: async () => undefined,
  payments: undefined as never,
  now: () => new Date('2026-11-20T10:00:00+08:00'),
};

let calls = 0;
const call = (changed: Record<string, unknown> = {}) => {
  calls += 1;
  return FinishedCall.parse({
    call_id: `s${calls}`,
    routing_key: 'postcallinfo_dyz',
    caller: '13812345678',
    callee: '4008208820',
    user_id: 42,
    status: 1,
    started_at: '2026-11-20 10:00:00',
    duration: 61,
    ...changed,
  });
};
const insertOldCall = (call_id: string, rule: number | null) =>
  run(
    `insert into user_prop_db.sublessor_call_log_201409
      (call_id, user_id, caller, callee, status, started_at, duration, filter_rule, caller_digits)
     values (?, 42, '13812345678', '4008208820', 1, now(), 61, ?, '13812345678')`,
    [call_id, rule],
  );
const settle = () => settleUnknownCharges(deps, { remaining: () => 200_000 });
const agePast = (minutes: number) =>
  run('update user_prop_db.call_shadow_log set created_at = created_at - interval ? minute', [
    minutes,
  ]);

beforeEach(async () => {
  await resetCalls();
  await take(valid);
});

describe('lib/call/filtering/shadow-comparison', () => {
  test('filterAndQueue decides calls in the shadow log only and queues no charge when shadow mode is on', async () => {
    await insertOldCall('their own', null);
    expect(await filterAndQueue(deps, call())).toMatchObject({
      outcome: 'shadowed',
      filterRule: 1,
    });
    expect(await filterAndQueue(deps, call())).toMatchObject({
      outcome: 'shadowed',
      filterRule: 4,
    });
    expect(await take(valid)).toEqual([]);
    await run(
      'update user_prop_db.sublessor_call_log_201409 set created_at = created_at - interval 1 hour',
    );
    await settle();
    expect(
      await rowsOf('select call_id, filter_rule from user_prop_db.sublessor_call_log_201409'),
    ).toEqual([{ call_id: 'their own', filter_rule: null }]);
  });

  test('chargeCall postpones a queued charge when shadow mode is on', async () => {
    const one = await decidedCall();
    await expect(chargeCall(deps, one)).rejects.toMatchObject({ name: 'Postponed' });
    expect(await chargeRows()).toEqual([]);
    expect((await ledger()).trades).toEqual([]);
  });

  test('compareShadow reports calls that are valid in only one system, or missing in the old one, when both have decided', async () => {
    const ones = [call(), call({ status: 0 }), call({ user_id: 43 }), call({ user_id: 44 })];
    for (const one of ones) await filterAndQueue(deps, one);
    const [first, second, third] = ones.map(({ call_id }) => call_id);
    await insertOldCall(String(first), 1);
    await insertOldCall(String(second), 7);
    await insertOldCall(String(third), 3);
    expect(await settle()).toMatchObject({ agree: 0, differ: 0, missing: 0 });
    await agePast(11);
    expect(await settle()).toMatchObject({
      outcome: 'shadow-differs',
      agree: 2,
      differ: 1,
      missing: 0,
    });
    await agePast(60);
    expect(await settle()).toMatchObject({ outcome: 'shadow-differs', agree: 0, missing: 1 });
    expect(await settle()).toMatchObject({ outcome: 'shadow-agrees', agree: 0, differ: 0 });
    expect(
      (await rowsOf('select compared from user_prop_db.call_shadow_log order by id')).map(
        ({ compared }) => compared,
      ),
    ).toEqual(['agrees', 'agrees', 'differs', 'missing']);
  });

  test('compareShadow names a call until it is logged here when only the old system has it', async () => {
    const one = call();
    await insertOldCall(one.call_id, 1);
    await insertOldCall('undecided there', null);
    await insertOldCall('long ago', 1);
    await insertOldCall('just now', 1);
    await run(`update user_prop_db.sublessor_call_log_201409 set created_at = now(3) - interval
    if(call_id = 'long ago', 3 * 24 * 60, if(call_id = 'just now', 30, 61)) minute`);
    expect(await settle()).toMatchObject({
      outcome: 'shadow-differs',
      agree: 0,
      differ: 0,
      missing: 0,
      unseen: 2,
      first: [one.call_id, 'undecided there'],
    });
    await filterAndQueue(deps, one);
    expect(await settle()).toMatchObject({ outcome: 'shadow-differs', unseen: 1 });
    await filterAndQueue(deps, { ...one, call_id: 'undecided there' });
    expect(await settle()).toMatchObject({ outcome: 'shadow-agrees', unseen: 0 });
  });

  test.each([
    ['shadow', 'real', [true, false], 'call_shadow_log', 'shadowed'],
    ['real', 'shadow', [false, true], 'sublessor_call_log_201409', 'valid'],
  ])(
    'filterAndQueue logs and decides a call in one mode when the mode changes from %s to %s meanwhile',
    async (_, __, modes, log, outcome) => {
      const readings = [...modes];
      const changing = {
        ...deps,
        settings: async () => ({ ...(await document()), shadow: readings.shift() ?? false }),
      };
      expect(await filterAndQueue(changing, call())).toMatchObject({ outcome });
      const rows = await rowsOf(`select filter_rule from user_prop_db.${log}`);
      expect(rows).toEqual([{ filter_rule: 1 }]);
      expect(await take(valid)).toHaveLength(outcome === 'valid' ? 1 : 0);
    },
  );

  test('settleUnknownCharges decides an undecided call in the log in which it was found when the mode changes meanwhile', async () => {
    await insertOldCall('their own', null);
    await run(
      'update user_prop_db.sublessor_call_log_201409 set created_at = created_at - interval 1 hour',
    );
    const readings = [false];
    const changing = {
      ...deps,
      settings: async () => ({ ...(await document()), shadow: readings.shift() ?? true }),
    };
    await settleUnknownCharges(changing, { remaining: () => 200_000 });
    expect(
      await rowsOf('select call_id, filter_rule from user_prop_db.sublessor_call_log_201409'),
    ).toEqual([{ call_id: 'their own', filter_rule: 1 }]);
  });
});
