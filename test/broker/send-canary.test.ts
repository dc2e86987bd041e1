import { PutParameterCommand, SSMClient } from '@aws-sdk/client-ssm';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { profileKey } from '../../lib/broker/cache-keys.ts';
import { brokerEvents } from '../../lib/broker/queues.ts';
import { profileOf } from '../../lib/broker/read/read-profile.ts';
import { type CanaryTables, sendCanary } from '../../lib/broker/read/send-canary.ts';
import { invalidation } from '../../lib/platform/cache/invalidation.ts';
import { leaseKeyOf } from '../../lib/platform/cache/read-through-cache.ts';
import type { Cache } from '../../lib/platform/cache/redis.ts';
import { deliverBy, queueChannel } from '../../lib/platform/messaging/outbox.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { settingsVariable } from '../../lib/platform/names.ts';
import { switches } from '../../lib/platform/operations/switches.ts';
import { clientOptions } from '../../local/emulator.ts';
import { resetDatabases, rowsOf, run, turn, upstreamBroker } from '../support/databases.ts';
import { flood } from '../support/deliveries.ts';
import { contextOf, eventOf, sqsEvent } from '../support/lambda.ts';
import { take, testDeadLetterQueue, testQueue } from '../support/queues.ts';
import { patientCache } from '../support/redis.ts';
import { workerServers } from '../support/started.ts';

const { emulator } = await workerServers();

const id = 'broker/send-canary';
const queue = await testQueue(brokerEvents);
await testDeadLetterQueue(brokerEvents);
const { handler } = await import('../../functions/broker/send-canary.ts');
const { handler: apply } = await import('../../functions/broker/apply-event.ts');
const cache = await patientCache();

const canaryBrokerId = 77;
const key = profileKey(String(canaryBrokerId));
const deps = {
  mysql: mysql<CanaryTables>('mysql'),
  cache,
  deliver: deliverBy(queueChannel(brokerEvents), invalidation(cache)),
  settings: async () => ({ canaryBrokerId }),
  pause: (ms: number) => new Promise<void>((done) => setTimeout(done, ms)),
  firstSwitchOff: async (): Promise<string | undefined> => undefined,
};
const send = (ms: number, with_ = deps) => {
  const end = Date.now() + 5_000 + ms;
  return sendCanary(with_, { remaining: () => end - Date.now() });
};

/** Applies the published messages and invalidates the cache, as the outbox does. Returns their number. */
async function applyPublished(): Promise<number> {
  const messages = await take(queue);
  for (const { Body = '' } of messages) await apply(sqsEvent(JSON.parse(Body)), contextOf());
  if (messages.length)
    await invalidation(cache).send('invalidate', [JSON.stringify({ keys: [key] })]);
  return messages.length;
}
const stamp = async () =>
  (await rowsOf('select source_updated_at from user_prop_db.broker_base'))[0]?.[
    'source_updated_at'
  ];

beforeEach(async () => {
  await resetDatabases();
  await take(queue);
  await cache((redis) => redis.del(key, leaseKeyOf(key)));
  await upstreamBroker(canaryBrokerId, { name: '金丝雀', stamp: '2026-11-20 10:00:00' });
  await apply(sqsEvent({ broker_ids: String(canaryBrokerId), flag: 2, source: 1 }), contextOf());
  await take(queue);
});

describe('broker/send-canary', () => {
  describe('happy path', () => {
    test('measures the seconds until a change is applied and until it can be read', async () => {
      const sent = send(20_000);
      await vi.waitUntil(async () => (await applyPublished()) > 0, { timeout: 10_000 });
      const { outcome, appliedSeconds, readableSeconds, measured } = await sent;
      expect(outcome).toBe('canary-arrived');
      expect(measured).toMatchObject({ 'scan lag': 0, 'canary age': readableSeconds });
      expect(appliedSeconds).toBeGreaterThan(0);
      expect(readableSeconds).toBeGreaterThanOrEqual(Number(appliedSeconds));
      expect(await stamp()).toBe('2026-11-20 10:00:00');
    });

    test('measures scan lag and unapplied age when no canary is configured', async () => {
      await run(`insert into signalbox.scan_cursor values ('broker/a', now() - interval 100 second, null, now(), '0', 1),
      ('broker/b', now() - interval 900 second, null, now(), '0', 1), ('call/c', '2020-01-01', null, now(), '0', 1);
    insert into signalbox.outbox (destination, body, due_at, created_at)
      values ('queue:broker/apply-event', '{}', now(3) + interval 1 hour, now(3) - interval 300 second)`);
      const none = { ...deps, settings: async () => ({ canaryBrokerId: 0 }) };
      const { outcome, measured } = await send(300, none);
      expect(outcome).toBe('no-canary');
      expect(measured['scan lag']).toBeGreaterThanOrEqual(900);
      expect(measured['scan lag']).toBeLessThan(910);
      expect(measured['unapplied age']).toBeGreaterThanOrEqual(300);
    });

    test('reads no outbox rows of other queues when it measures the unapplied age', async () => {
      await flood(20_000, "concat('queue:test/flooded-', a.id % 20)");
      await flood(1_000, "'queue:broker/apply-event'");
      const read = async () => {
        const [row] = await rowsOf("show global status like 'Innodb_rows_read'");
        return Number(row?.['Value']);
      };
      const before = await read();
      const none = { ...deps, settings: async () => ({ canaryBrokerId: 0 }) };
      const { measured } = await send(300, none);
      expect((await read()) - before).toBeLessThan(10_000);
      expect(measured['unapplied age']).toBeGreaterThanOrEqual(0);
    });

    test('sends no canary with the deployed settings, and sends one when the settings name a broker', async () => {
      await handler(eventOf(id, 'five-minutes'), contextOf(6_000));
      expect(await take(queue)).toEqual([]);
      const Name = `/signalbox/test-canary-${process.pid}`;
      const { default: document } = await import('../../config/broker.json', {
        with: { type: 'json' },
      });
      const Value = JSON.stringify({ ...document, canaryBrokerId });
      await new SSMClient(clientOptions(emulator)).send(
        new PutParameterCommand({ Name, Value, Type: 'String' }),
      );
      vi.resetModules();
      vi.stubEnv(settingsVariable('broker'), Name);
      const other = await import('../../functions/broker/send-canary.ts');
      vi.unstubAllEnvs();
      const sent = other.handler(eventOf(id, 'five-minutes'), contextOf(25_000));
      await vi.waitUntil(async () => (await applyPublished()) > 0, { timeout: 10_000 });
      await sent;
      const [row] = await rowsOf('select readable_at from user_prop_db.broker_canary');
      expect(row?.['readable_at']).not.toBeNull();
    });
  });

  describe('refused', () => {
    test('ends with canary-not-on-site when the site does not show the canary or its row has no timestamp', async () => {
      await run('update user_prop_db.broker_base set source_updated_at = null');
      expect(await send(300)).toMatchObject({ outcome: 'canary-not-on-site' });
      await run('update user_prop_db.broker_base set is_deleted = 1');
      expect(await send(300)).toMatchObject({ outcome: 'canary-not-on-site' });
      expect(await take(queue)).toEqual([]);
    });
  });

  describe('outage', () => {
    test('sends the canary again, keeps its age and lets it arrive when it was not applied at first', async () => {
      expect(await send(300)).toMatchObject({ outcome: 'canary-on-its-way', appliedSeconds: null });
      expect(await take(queue)).toHaveLength(1);
      await run(
        'update user_prop_db.broker_canary set published_at = published_at - interval 700 second',
      );
      const again = await send(300);
      expect(again).toMatchObject({ outcome: 'canary-on-its-way' });
      expect(again.measured['canary age']).toBeGreaterThan(700);
      expect(await applyPublished()).toBe(1);
      expect(await send(2_000)).toMatchObject({ outcome: 'canary-arrived' });
      expect(await stamp()).toBe('2026-11-20 10:00:00');
    });

    test('ends with canary-on-its-way when the cache still shows the old profile after the canary was applied', async () => {
      const none: Cache = async () => undefined;
      const { profile } = await profileOf(
        { mysql: deps.mysql, cache: none },
        String(canaryBrokerId),
      );
      const before = { ...profile, updated_at: '2026-11-20 09:59:59' };
      const stale = (async () => before) as unknown as Cache;
      const sent = send(2_500, { ...deps, cache: stale });
      await vi.waitUntil(async () => (await applyPublished()) > 0, { timeout: 2_000 });
      expect(await sent).toMatchObject({
        outcome: 'canary-on-its-way',
        ...{ appliedSeconds: expect.any(Number), readableSeconds: null },
      });
    });

    test('publishes nothing but measures scan lag and unapplied age while its kill switch is off', async () => {
      await turn(id, 'off');
      const off = switches({ mysql: mysql<CanaryTables>('mysql') });
      const { outcome, measured } = await send(1_000, { ...deps, firstSwitchOff: off });
      expect(outcome).toBe('switched-off');
      expect(Object.keys(measured)).toEqual(['scan lag', 'unapplied age']);
      expect(await take(queue)).toEqual([]);
      expect(await stamp()).toBe('2026-11-20 10:00:00');
    });
  });
});
