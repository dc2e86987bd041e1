/** Tests that every producer of changed rows must pass. */
import type { Context } from 'aws-lambda';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { brokerEvents, type Source } from '../../lib/broker/queues.ts';
import { resetDatabases, rowsOf, run } from './databases.ts';
import { contextOf, eventOf } from './lambda.ts';
import { take, testQueue } from './queues.ts';

interface ChangeProducer {
  readonly id: `broker/${string}`;
  readonly source: Source;
  /** Writes the upstream row of this key, with a timestamp `secondsAgo`. */
  readonly change: (key: number, name: string, secondsAgo: number) => Promise<void>;
}

type Handler = (event: unknown, context: Context) => Promise<unknown>;

export async function describeChangeProducer(
  { id, source, change }: ChangeProducer,
  load: () => Promise<{ handler: unknown }>,
): Promise<void> {
  const queue = await testQueue(brokerEvents);
  const handler = (await load()).handler as Handler;
  const tick = () => handler(eventOf(id, 'minute'), contextOf());
  const published = async () => (await take(queue)).map(({ Body }) => Body);
  const message = (ids: string) => `{"broker_ids":"${ids}","flag":2,"source":${source}}`;

  beforeEach(async () => {
    await resetDatabases();
    await take(queue);
  });

  describe(id, () => {
    describe('happy path', () => {
      test('publishes a changed row once', async () => {
        await change(7, '甲', 60);
        await change(8, '甲', 900);
        await tick();
        expect(await published()).toEqual([message('7')]);
        await tick();
        expect(await published()).toEqual([]);
      });

      test('publishes two changes within one second, and a change that commits late', async () => {
        await run('set timestamp = unix_timestamp()'); // Stops the clock, so that both changes get the same second.
        try {
          await change(7, '甲', 30);
          await tick();
          await change(7, '乙', 30);
          await tick();
          await change(8, '甲', 300);
          await tick();
        } finally {
          await run('set timestamp = default');
        }
        expect(await published()).toEqual([message('7'), message('7'), message('8')]);
      });
    });

    describe('concurrency', () => {
      test('publishes everything, and neither run fails, when two runs are concurrent', async () => {
        await Promise.all(Array.from({ length: 20 }, (_, key) => change(key + 1, '甲', 60)));
        await Promise.all([tick(), tick()]);
        const bodies = await published();
        const ids = bodies.flatMap((body = '') => JSON.parse(body).broker_ids.split(','));
        expect(new Set(ids).size).toBe(20);
      });
    });

    describe('crash', () => {
      test('commits message and cursor together or not at all when any write fails', async () => {
        for (const table of ['scan_cursor', 'scan_seen', 'outbox']) {
          await resetDatabases();
          await change(1, '甲', 60);
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
          expect(await published()).toEqual([message('1')]);
        }
      });
    });

    describe('outage', () => {
      test('publishes nothing while its kill switch is off, and the missed changes when it is on', async () => {
        await tick();
        await change(7, '甲', 60);
        await run('insert into signalbox.switch values (?, ?, ?, ?, now())', [
          id,
          'off',
          'test',
          'test',
        ]);
        vi.resetModules();
        const off = (await load()).handler as Handler;
        await off(eventOf(id, 'minute'), contextOf());
        expect(await published()).toEqual([]);
        expect(await rowsOf('select * from signalbox.outbox')).toEqual([]);
        await run('delete from signalbox.switch');
        await tick();
        expect(await published()).toEqual([message('7')]);
      });
    });
  });
}
