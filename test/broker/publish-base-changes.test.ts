import { beforeEach, describe, expect, test, vi } from 'vitest';
import { publishBaseChanges } from '../../lib/broker/publish/publish-changes.ts';
import { brokerEvents } from '../../lib/broker/queues.ts';
import { BrokerSettings } from '../../lib/broker/settings.ts';
import type { UpstreamTables } from '../../lib/broker/tables.ts';
import { settings } from '../../lib/platform/lambda/config.ts';
import { deliverBy, queueChannel } from '../../lib/platform/messaging/outbox.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';
import { resetDatabases, rowsOf, run, upstreamBroker } from '../support/databases.ts';
import { contextOf, eventOf } from '../support/lambda.ts';
import { take, testQueue } from '../support/queues.ts';

const queue = await testQueue(brokerEvents);
const { handler } = await import('../../functions/broker/publish-base-changes.ts');

const tick = () => handler(eventOf('broker/publish-base-changes', 'minute'), contextOf());
/** Returns the time `seconds` ago by the database's clock. */
const ago = async (seconds: number) =>
  String((await rowsOf('select now() - interval ? second time', [seconds]))[0]?.['time']);

async function published(): Promise<string[]> {
  const messages = await take(queue);
  return messages.flatMap(({ Body = '' }) => JSON.parse(Body).broker_ids.split(',')).toSorted();
}

beforeEach(async () => {
  await resetDatabases();
  await take(queue);
});

describe('broker/publish-base-changes', () => {
  describe('happy path', () => {
    test('publishes a changed broker once, in the form of upstream messages', async () => {
      await upstreamBroker(7, { stamp: await ago(60) });
      await run("update anjuke_db.ajk_brokerextend set updated_datetime = '2020-01-01 00:00:00'");
      await tick();
      expect((await take(queue)).map(({ Body }) => Body)).toEqual([
        '{"broker_ids":"7","flag":2,"source":1}',
      ]);
      await tick();
      expect(await published()).toEqual([]);
    });

    test('publishes a broker when only its telephone number changed', async () => {
      await upstreamBroker(7, { stamp: '2020-01-01 00:00:00' });
      await run(
        'update anjuke_db.ajk_brokerextend set updated_datetime = now() - interval 60 second',
      );
      await tick();
      expect(await published()).toEqual(['7']);
    });

    test('publishes changes within the overlap but not those of the last seconds in its first run', async () => {
      await upstreamBroker(1, { stamp: await ago(700) });
      await upstreamBroker(2, { stamp: await ago(500) });
      await upstreamBroker(3, { stamp: await ago(1) });
      await tick();
      expect(await published()).toEqual(['2', '2']); // Row and telephone number.
    });

    test('publishes both changes when a broker changes twice within one second', async () => {
      const stamp = await ago(30);
      await upstreamBroker(1, { stamp, name: '甲' });
      await tick();
      await upstreamBroker(1, { stamp, name: '乙' });
      await tick();
      expect(await published()).toEqual(['1', '1', '1']);
    });

    test('publishes a change that commits minutes after its timestamp', async () => {
      await tick();
      await upstreamBroker(1, { stamp: await ago(300) });
      await tick();
      expect(new Set(await published())).toEqual(new Set(['1']));
    });

    test('publishes all rows, 100 ids a message, when more rows than a page holds have the same timestamp', async () => {
      await run(`set session cte_max_recursion_depth = 6000;
    insert into anjuke_db.ajk_broker (BrokerId, Status, updated_datetime)
    with recursive n as (select 1 id union all select id + 1 from n where id < 5000)
    select id, 1, date_format(now() - interval 60 second, '%Y-%m-%d %H:%i:00') from n`);
      await tick();
      const messages = await take(queue);
      const ids = messages.map(
        ({ Body = '' }) => JSON.parse(Body).broker_ids.split(',') as string[],
      );
      expect(Math.max(...ids.map(({ length }) => length))).toBe(100);
      expect(new Set(ids.flat()).size).toBe(5000);
      expect(ids.flat()).toHaveLength(5000);
    });
  });

  describe('concurrency', () => {
    test('publishes everything, and neither run fails, when two runs are concurrent', async () => {
      for (let broker = 1; broker <= 50; broker++)
        await upstreamBroker(broker, { stamp: await ago(60) });
      await Promise.all([tick(), tick()]);
      expect(new Set(await published()).size).toBe(50);
      await tick();
      expect(await published()).toEqual([]);
    });
  });

  describe('crash', () => {
    test('commits message and cursor together or not at all when any write fails, and the next run publishes', async () => {
      for (const table of ['scan_cursor', 'scan_seen', 'outbox']) {
        await resetDatabases();
        await upstreamBroker(1, { stamp: await ago(60), extension: false });
        const moment = table === 'scan_cursor' ? 'update' : 'insert';
        await run(
          `create trigger signalbox.crash before ${moment} on signalbox.${table} for each row signal sqlstate '45000'`,
        );
        try {
          await expect(tick()).rejects.toThrow();
        } finally {
          await run('drop trigger signalbox.crash');
        }
        expect(await published()).toEqual([]);
        await tick();
        expect(await published()).toEqual(['1']);
        await tick();
        expect(await published()).toEqual([]);
      }
    });
  });

  describe('outage', () => {
    test('keeps messages in the outbox when SQS is unavailable', async () => {
      await upstreamBroker(1, { stamp: await ago(60), extension: false });
      const there = process.env['QUEUE_BROKER_APPLY_EVENT'] ?? '';
      vi.resetModules();
      vi.stubEnv('QUEUE_BROKER_APPLY_EVENT', `${there}-gone`);
      const other = await import('../../functions/broker/publish-base-changes.ts');
      vi.unstubAllEnvs();
      await other.handler(eventOf('broker/publish-base-changes', 'minute'), contextOf());
      expect(await rowsOf('select destination, body, version from signalbox.outbox')).toEqual([
        {
          destination: 'queue:broker/apply-event',
          body: '{"broker_ids":"1","flag":2,"source":1}',
          version: 1,
        },
      ]);
    });

    test('publishes the changes made while the kill switch was off before the first run', async () => {
      const deps = {
        mysql: mysql<PlatformTables>('mysql'),
        upstream: mysql<UpstreamTables>('mysql-upstream'),
        settings: settings('broker', BrokerSettings),
        deliver: deliverBy(queueChannel(brokerEvents)),
      };
      const tickUnder = (off: 'broker/publish-base-changes' | undefined) =>
        publishBaseChanges(
          { ...deps, firstSwitchOff: async () => off },
          { remaining: () => 60_000 },
        );
      expect(await tickUnder('broker/publish-base-changes')).toMatchObject({
        outcome: 'switched-off',
      });
      await run(
        'update signalbox.scan_cursor set complete_to = complete_to - interval 2 hour, at_time = at_time - interval 2 hour',
      );
      await upstreamBroker(1, { stamp: await ago(3_600) });
      expect(await tickUnder(undefined)).toMatchObject({ outcome: 'published' });
      expect(new Set(await published())).toEqual(new Set(['1']));
    });
  });
});
