import { beforeEach, describe, expect, test } from 'vitest';
import { brokersKnownCheck } from '../../lib/call/filtering/broker-phone-runs.ts';
import { syncBrokerPhones } from '../../lib/call/filtering/sync-broker-phones.ts';
import type { UpstreamPhones } from '../../lib/call/filtering/upstream-phones.ts';
import type { CallTables } from '../../lib/call/tables.ts';
import { deliverBy } from '../../lib/platform/messaging/outbox.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { resetCalls } from '../support/calls.ts';
import { rowsOf, run, upstreamBroker } from '../support/databases.ts';
import { contextOf, eventOf } from '../support/lambda.ts';

const { handler } = await import('../../functions/call/sync-broker-phones.ts');

const tick = () => handler(eventOf('call/sync-broker-phones', 'five-minutes'), contextOf());
const phones = async () =>
  (await rowsOf('select * from user_prop_db.broker_phone order by broker_id')).map(
    ({ broker_id, phone, digits }) => [broker_id, phone, digits],
  );
/** The database's time this many seconds ago. */
const ago = async (seconds: number) =>
  String((await rowsOf('select now() - interval ? second time', [seconds]))[0]?.['time']);

const deps = {
  mysql: mysql<CallTables>('mysql'),
  upstream: mysql<UpstreamPhones>('mysql-upstream'),
  settings: async () => ({ safetyLagSeconds: 5, overlapSeconds: 600, pageRowsMax: 2 }),
  deliver: deliverBy(),
};
/** Runs a tick with pages of two rows, on a later day or with little time. */
const sync = (days = 0, remaining = () => 60_000) =>
  syncBrokerPhones(deps, { at: new Date(Date.now() + days * 86_400_000), remaining });
const oldStamp = '2020-01-01 00:00:00';

beforeEach(resetCalls);

describe('call/sync-broker-phones', () => {
  describe('happy path', () => {
    test('call/sync-broker-phones stores each number as upstream has it and its digits when numbers changed', async () => {
      await upstreamBroker(1, { stamp: await ago(60), mobile: '138-1234-5678' });
      await upstreamBroker(2, { stamp: await ago(60), mobile: '+8613912345678' });
      await upstreamBroker(3, { stamp: await ago(60), extension: false });
      await tick();
      expect(await phones()).toEqual([
        ['1', '138-1234-5678', '13812345678'],
        ['2', '+8613912345678', '13912345678'],
      ]);
    });

    test('call/sync-broker-phones replaces a changed number, and deletes the row when the number was removed or has no digits', async () => {
      for (const id of [1, 2, 3, 4]) await upstreamBroker(id, { stamp: await ago(60) });
      await tick();
      expect(await phones()).toHaveLength(4);
      await upstreamBroker(1, { stamp: await ago(30), mobile: '13900000002' });
      await upstreamBroker(2, { stamp: await ago(30), mobile: null });
      await upstreamBroker(3, { stamp: await ago(30), mobile: '' });
      await upstreamBroker(4, { stamp: await ago(30), mobile: '无' });
      await tick();
      expect(await phones()).toEqual([['1', '13900000002', '13900000002']]);
    });

    test('call/sync-broker-phones applies both changes when a number changes twice within one second', async () => {
      const stamp = await ago(30);
      await upstreamBroker(1, { stamp, mobile: '13900000001' });
      await tick();
      await upstreamBroker(1, { stamp, mobile: '13900000002' });
      await tick();
      expect(await phones()).toEqual([['1', '13900000002', '13900000002']]);
    });

    test('call/sync-broker-phones fills in brokers that have not changed for years, and reports firstRun, when it runs for the first time', async () => {
      for (const id of [1, 2, 3, 4, 5])
        await upstreamBroker(id, { stamp: oldStamp, mobile: `1390000000${id}` });
      await upstreamBroker(6, { stamp: oldStamp, mobile: null });
      expect(await sync()).toMatchObject({ fullRun: 'compared', firstRun: true, repaired: 0 });
      expect(await phones()).toHaveLength(5);
      expect(await sync()).not.toHaveProperty('firstRun');
    });

    test('call/sync-broker-phones repairs late commits, deleted rows and removed numbers when it compares on the next day', async () => {
      for (const id of [1, 2, 3, 4])
        await upstreamBroker(id, { stamp: oldStamp, mobile: `1390000000${id}` });
      await sync();
      await upstreamBroker(2, { stamp: oldStamp, mobile: '13911111111' });
      await run('delete from anjuke_db.ajk_brokerextend where BrokerId in (1, 4)');
      await upstreamBroker(3, { stamp: oldStamp, mobile: '无' });
      await upstreamBroker(9007199254740993n.toString(), {
        stamp: oldStamp,
        mobile: '13922222222',
      });
      expect(await sync()).toMatchObject({ fullRun: 'compared', repaired: 0 });
      expect(await phones()).toHaveLength(4);
      expect(await sync(1)).toMatchObject({ fullRun: 'compared', repaired: 5 });
      expect(await phones()).toEqual([
        ['2', '13911111111', '13911111111'],
        ['9007199254740993', '13922222222', '13922222222'],
      ]);
    });
  });

  describe('concurrency', () => {
    test('call/sync-broker-phones keeps its own cursor and leaves the same rows when two runs overlap', async () => {
      await upstreamBroker(1, { stamp: await ago(60) });
      await Promise.all([tick(), tick()]);
      expect(await phones()).toHaveLength(1);
      const [cursor] = await rowsOf('select name from signalbox.scan_cursor');
      expect(cursor?.['name']).toBe('call/sync-broker-phones:anjuke_db.ajk_brokerextend');
    });

    test('call/sync-broker-phones resumes a full run with the next tick when it ran out of time, and leaves the same rows when two overlap', async () => {
      for (const id of [1, 2, 3, 4, 5, 6, 7])
        await upstreamBroker(id, { stamp: oldStamp, mobile: `1390000000${id}` });
      let looks = 0;
      // The scan checks the time once, which leaves time for one page.
      expect(await sync(0, () => (++looks <= 2 ? 60_000 : 0))).toEqual(
        expect.objectContaining({ fullRun: 'fill-out-of-time' }),
      );
      expect(await phones()).toHaveLength(2);
      await Promise.all([sync(), sync()]);
      expect(await phones()).toHaveLength(7);
      expect(
        await rowsOf('select name from user_prop_db.broker_phone_run where done_at is null'),
      ).toEqual([]);
    });

    test('call/sync-broker-phones keeps the newer number when the scan writes it while a page is compared', async () => {
      await upstreamBroker(1, { stamp: oldStamp, mobile: '13900000001' });
      await sync();
      await upstreamBroker(1, { stamp: oldStamp, mobile: '13900000002' });
      const upstream = deps.upstream.withPlugin({
        transformQuery: ({ node }) => node,
        // Runs after upstream was read and before the repair is written.
        transformResult: async ({ result }) => {
          if (result.rows.some((row) => row['phone'] === '13900000002'))
            await run(
              "update user_prop_db.broker_phone set phone = '13900000003', digits = '13900000003'",
            );
          return result;
        },
      });
      const at = new Date(Date.now() + 86_400_000);
      await syncBrokerPhones({ ...deps, upstream }, { at, remaining: () => 60_000 });
      expect(await phones()).toEqual([['1', '13900000003', '13900000003']]);
    });
  });

  describe('crash', () => {
    test('call/sync-broker-phones repeats the page when a run fails before its transaction commits', async () => {
      await upstreamBroker(1, { stamp: await ago(60) });
      await run('rename table signalbox.scan_seen to signalbox.gone');
      await expect(tick()).rejects.toThrow(/scan_seen/);
      await run('rename table signalbox.gone to signalbox.scan_seen');
      expect(await phones()).toEqual([]);
      await run('rename table user_prop_db.broker_phone to user_prop_db.gone');
      await expect(tick()).rejects.toThrow(/broker_phone/);
      await run('rename table user_prop_db.gone to user_prop_db.broker_phone');
      await tick();
      expect(await phones()).toHaveLength(1);
    });
  });

  describe('refused', () => {
    test('brokersKnownCheck postpones a call until the first full run has ended, and does not query again when it has', async () => {
      for (const id of [1, 2, 3, 4, 5, 6, 7]) await upstreamBroker(id, { stamp: oldStamp });
      const check = brokersKnownCheck({
        ...deps,
        now: () => new Date('2026-11-20T10:00:00+08:00'),
      });
      await expect(check()).rejects.toMatchObject({
        name: 'Postponed',
        until: new Date('2026-11-20T10:01:00+08:00'),
      });
      expect(await phones()).toHaveLength(4);
      await check();
      expect(await phones()).toHaveLength(7);
      await run('rename table user_prop_db.broker_phone_run to user_prop_db.gone');
      await check();
      await run('rename table user_prop_db.gone to user_prop_db.broker_phone_run');
    });
  });
});
