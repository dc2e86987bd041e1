import { beforeEach, describe, expect, test, vi } from 'vitest';
import { brokerEvents } from '../../lib/broker/queues.ts';
import { resetDatabases, rowsOf, run, upstreamBroker } from '../support/databases.ts';
import { contextOf, eventOf } from '../support/lambda.ts';
import { take, testQueue } from '../support/queues.ts';

const id = 'broker/publish-ext-profiles';
const queue = await testQueue(brokerEvents);
const { handler } = await import('../../functions/broker/publish-ext-profiles.ts');

type Mode = 'weidian' | 'star' | 'talent-and-star';
const tick = (mode: Mode, time?: string, remainingMs = 30_000) =>
  handler(
    { ...eventOf<{ time: string }>(id, mode), ...(time && { time }) },
    contextOf(remainingMs),
  );

/** Returns the published messages: for each source its ids in order. */
async function published(): Promise<[source: number, ids: number[]][]> {
  const bodies = (await take(queue)).map(({ Body = '' }) => JSON.parse(Body));
  const bySource = Map.groupBy(bodies, ({ source }) => Number(source));
  return [...bySource].map(([source, some]) => [
    source,
    some.flatMap(({ broker_ids }) => broker_ids.split(',').map(Number)).toSorted((a, b) => a - b),
  ]);
}

const state = (broker: number, day: string, updated = 1) =>
  run('insert into anjuke_db.ajk_star_agent_state values (?, ?, ?)', [broker, day, updated]);
const talent = (broker: number, is = 1) =>
  run("replace into anjuke_db.ajk_wechat_talent values (?, ?, 3, '2026-11-20 10:00:00')", [
    ...[broker, is],
  ]);
const shown = (broker: number, { talent: is = 0, deleted = 0 } = {}) =>
  run(
    'insert into user_prop_db.broker_ext_profile (broker_id, is_wechat_talent, is_deleted) values (?, ?, ?)',
    [broker, is, deleted],
  );

beforeEach(async () => {
  await resetDatabases();
  await take(queue);
});

describe('broker/publish-ext-profiles', () => {
  describe('happy path', () => {
    test('mode weidian publishes every usable broker and every profile that the site shows', async () => {
      for (const broker of [1, 2, 3]) await upstreamBroker(broker);
      await upstreamBroker(4, { status: 0 });
      await shown(2);
      await shown(5);
      await shown(6, { deleted: 1 });
      await tick('weidian');
      expect(await published()).toEqual([[2, [1, 2, 3, 5]]]);
    });

    test('mode star publishes the star agents whose state row of the day says updated', async () => {
      await state(1, '2026-11-21');
      await state(2, '2026-11-21', 0);
      await state(3, '2026-11-20');
      await talent(4);
      await tick('star'); // 02:00 in Shanghai on the 21st.
      expect(await published()).toEqual([[3, [1]]]);
    });

    test('mode star changes its day at midnight in Shanghai', async () => {
      await state(1, '2026-11-21');
      await state(2, '2026-11-22');
      await tick('star', '2026-11-21T15:59:59Z');
      expect(await published()).toEqual([[3, [1]]]);
      await tick('star', '2026-11-21T16:00:00Z');
      expect(await published()).toEqual([[3, [2]]]);
    });

    test('mode star publishes at each tick the star agents that changed since the tick before', async () => {
      await state(1, '2026-11-21');
      await tick('star');
      await state(2, '2026-11-21');
      await take(queue);
      await tick('star');
      expect(await published()).toEqual([[3, [1, 2]]]);
    });

    test('mode star publishes changes after the last tick of a day at the first tick of the next day, and no unchanged star agent twice', async () => {
      await state(1, '2026-11-21');
      await run('insert into anjuke_db.ajk_star_agent values (1, 1, 3), (4, 1, 3)');
      await state(4, '2026-11-21');
      await tick('star', '2026-11-21T15:59:00Z');
      expect(await published()).toEqual([[3, [1, 4]]]);
      await state(2, '2026-11-21');
      await run('update anjuke_db.ajk_star_agent set Stars = 5 where BrokerId = 4');
      await state(3, '2026-11-22');
      await tick('star', '2026-11-21T16:59:00Z');
      expect(await published()).toEqual([[3, [2, 3, 4]]]);
      await tick('star', '2026-11-21T17:59:00Z');
      expect(await published()).toEqual([[3, [3]]]);
    });

    test('mode star runs all missed days at the next tick', async () => {
      await state(1, '2026-11-19');
      await tick('star', '2026-11-19T02:59:00Z');
      expect(await published()).toEqual([[3, [1]]]);
      await state(2, '2026-11-19');
      await state(3, '2026-11-20');
      await state(4, '2026-11-21');
      await state(5, '2026-11-22');
      await tick('star', '2026-11-22T02:59:00Z');
      expect(await published()).toEqual([[3, [2, 3, 4, 5]]]);
      expect(await rowsOf('select day, ended from signalbox.broker_walk')).toEqual([
        { day: '2026-11-22', ended: 1 },
      ]);
      expect(await rowsOf('select id from signalbox.scan_seen')).toEqual([{ id: '5' }]);
    });

    test('mode talent-and-star publishes the star agents of the day, all talents, and the brokers that the site shows as talents', async () => {
      await state(1, '2026-11-21');
      await state(2, '2026-11-20');
      await talent(1);
      await talent(3);
      await talent(4, 0);
      await shown(5, { talent: 1 });
      await tick('talent-and-star');
      expect(await published()).toEqual([[3, [1, 3, 5]]]);
    });
  });

  describe('refused', () => {
    test('fails with the name of the field when the mode is unknown', async () => {
      const event = { time: '2026-11-20T18:00:00Z', input: { mode: 'everything' } };
      await expect(handler(event, contextOf())).rejects.toThrow('mode');
    });
  });

  describe('repeated delivery', () => {
    test.each(['weidian', 'talent-and-star'] as const)(
      'mode %s publishes once a day when it is started several times',
      async (mode) => {
        await upstreamBroker(1);
        await talent(1);
        await tick(mode);
        await tick(mode, '2026-11-20T18:15:00Z');
        await tick(mode, '2026-11-19T18:15:00Z'); // Late.
        expect(await published()).toEqual([[mode === 'weidian' ? 2 : 3, [1]]]);
        await tick(mode, '2026-11-21T18:00:00Z');
        expect(await published()).toHaveLength(1);
      },
    );
  });

  describe('concurrency', () => {
    test('publishes everything once when two ticks are concurrent', async () => {
      for (let broker = 1; broker <= 20; broker++) await upstreamBroker(broker);
      await Promise.all([tick('weidian'), tick('weidian')]);
      expect(await published()).toEqual([[2, Array.from({ length: 20 }, (_, index) => index + 1)]]);
    });
  });

  describe('crash', () => {
    test('mode star resumes a run that ran out of time after midnight, and completes the day before', async () => {
      await state(1, '2026-11-21');
      await tick('star', '2026-11-21T14:59:00Z');
      await take(queue);
      await state(2, '2026-11-21');
      await tick('star', '2026-11-21T16:59:00Z', 9_000);
      expect(await published()).toEqual([]);
      await state(3, '2026-11-22');
      await tick('star', '2026-11-21T17:59:00Z');
      expect(await published()).toEqual([[3, [2, 3]]]);
    });

    test('publishes each id once when a run is out of time and the next tick resumes it', async () => {
      await run(`set session cte_max_recursion_depth = 3000;
    insert into anjuke_db.ajk_broker (BrokerId, Status)
    with recursive n as (select 1 id union all select id + 1 from n where id < 2500) select id, 1 from n`);
      await tick('weidian');
      const all = Array.from({ length: 2500 }, (_, index) => index + 1);
      expect(await published()).toEqual([[2, all]]);
      // Sets the run back to its state after the second page.
      await run('update signalbox.broker_walk set at_id = 2000, ended = 0, published = 2000');
      await tick('weidian', undefined, 9_000);
      expect(await published()).toEqual([]);
      await tick('weidian', '2026-11-20T18:15:00Z');
      expect(await published()).toEqual([[2, all.slice(2000)]]);
      expect(await rowsOf('select day, published, ended from signalbox.broker_walk')).toEqual([
        { day: '2026-11-21', published: '2500', ended: 1 },
      ]);
    });

    test('first completes an unfinished run of yesterday for its own day', async () => {
      await state(1, '2026-11-20');
      await state(2, '2026-11-21');
      await run(
        "insert into signalbox.broker_walk values ('broker/publish-ext-profiles:star', 3, '2026-11-20', 0, 0, 0, 0, now())",
      );
      await tick('star');
      expect(await published()).toEqual([[3, [1, 2]]]);
      expect(await rowsOf('select run, day, ended from signalbox.broker_walk')).toEqual([
        { run: 4, day: '2026-11-21', ended: 1 },
      ]);
    });

    test('publishes the rest at the next tick when any write fails', async () => {
      for (const table of ['outbox', 'broker_walk']) {
        await resetDatabases();
        await upstreamBroker(1);
        const moment = table === 'outbox' ? 'insert' : 'update';
        await run(
          `create trigger signalbox.crash before ${moment} on signalbox.${table} for each row signal sqlstate '45000'`,
        );
        try {
          await expect(tick('weidian')).rejects.toThrow();
        } finally {
          await run('drop trigger signalbox.crash');
        }
        expect(await published()).toEqual([]);
        await tick('weidian');
        expect(await published()).toEqual([[2, [1]]]);
      }
    });
  });

  describe('outage', () => {
    test('publishes nothing while the kill switch of its mode or of the function is off', async () => {
      await upstreamBroker(1);
      await talent(1);
      const off = async (name: string, mode: Mode) => {
        await run('replace into signalbox.switch values (?, ?, ?, ?, now())', [
          ...[name, 'off', 'test', 'test'],
        ]);
        vi.resetModules();
        const fresh = await import('../../functions/broker/publish-ext-profiles.ts');
        await fresh.handler(eventOf<{ time: string }>(id, mode), contextOf());
        await run('delete from signalbox.switch');
        return await published();
      };
      expect(await off(`${id}:weidian`, 'weidian')).toEqual([]);
      expect(await off(id, 'weidian')).toEqual([]);
      expect(await off(`${id}:star`, 'weidian')).toEqual([[2, [1]]]);
    });
  });
});
