import { beforeEach, describe, expect, test, vi } from 'vitest';
import { brokerEvents, sources } from '../../lib/broker/queues.ts';
import { until } from '../../local/processes.ts';
import { resetDatabases, rowsOf, run, upstreamBroker } from '../support/databases.ts';
import { contextOf, eventOf, redelivered, sqsEvent } from '../support/lambda.ts';
import { onLastAttempt } from '../support/last-attempt.ts';
import { loosened } from '../support/odd-values.ts';
import { take, takeDead, testDeadLetterQueue } from '../support/queues.ts';
import { simulatorOf } from '../support/simulators.ts';

const dead = await testDeadLetterQueue(brokerEvents);
const { handler } = await import('../../functions/broker/apply-event.ts');
const microShopService = simulatorOf('weishop');

const apply = async (event: Parameters<typeof handler>[0]) =>
  expect(redelivered(event, await handler(event, contextOf()))).toEqual([]);
const message = (ids: string, source: number) => ({ broker_ids: ids, flag: 2, source });
const extended = (ids: string) => apply(sqsEvent(message(ids, sources.talentAndStar)));
const shops = (ids: string) => apply(sqsEvent(message(ids, sources.weidian)));
const rows = () => rowsOf('select * from user_prop_db.broker_ext_profile order by broker_id');
const shop = (name: string) => ({
  weidian_name: `${name}的微店`,
  wechat_name: name,
  qrcode: `https://weidian/${name}.png`,
});
const open = (shopsOf: Record<string, unknown>) => microShopService.post('/__shops', shopsOf);
const shownShop = (name: string) => ({
  weidian_name: `${name}的微店`,
  wechat_name: name,
  weidian_qrcode: `https://weidian/${name}.png`,
});
const isAsked = async () => ((await microShopService.state())['asked'] as unknown[]).length > 0;
const noShop = { weidian_name: null, wechat_name: null, weidian_qrcode: null };
/** Returns the messages that wait for the micro shop service, and for how many minutes. */
const waiting = () =>
  rowsOf(`select body, held_by, round(timestampdiff(second, now(3), due_at) / 60) minutes
    from signalbox.outbox where destination = 'queue:broker/apply-event'`);

beforeEach(async () => {
  await resetDatabases();
  await microShopService.reset();
  await take(dead);
});

/** A new import reads kill switches again, which a loaded module caches for ten seconds. */
async function freshHandler() {
  vi.resetModules();
  return await import('../../functions/broker/apply-event.ts');
}

describe('broker/apply-event: extended profiles', () => {
  describe('happy path', () => {
    test('writes talent and star fields of upstream', async () => {
      for (const id of [1001, 1002, 1003]) await upstreamBroker(id);
      await run(`insert into anjuke_db.ajk_wechat_talent values (1001, 1, 3, '2026-11-20 10:00:00');
    insert into anjuke_db.ajk_star_agent values (1001, 1, 5), (1002, 0, null)`);
      await apply(eventOf('broker/apply-event', 'talent-and-star'));
      const none = { is_wechat_talent: 0, talent_level: null, is_star_agent: 0, stars: null };
      expect(await rows()).toMatchObject([
        { broker_id: '1001', is_wechat_talent: 1, talent_level: 3, is_star_agent: 1, stars: 5 },
        { broker_id: '1002', ...none, is_deleted: 0 },
        { broker_id: '1003', ...none, is_deleted: 0 },
      ]);
    });

    test('writes star fields without reading the daily state table', async () => {
      await upstreamBroker(1);
      await run(`insert into anjuke_db.ajk_star_agent values (1, 1, 5);
    insert into anjuke_db.ajk_star_agent_state values (1, '2026-11-21', 0)`);
      await run('rename table anjuke_db.ajk_star_agent_state to anjuke_db.hidden');
      try {
        await extended('1');
      } finally {
        await run('rename table anjuke_db.hidden to anjuke_db.ajk_star_agent_state');
      }
      expect(await rows()).toMatchObject([{ is_star_agent: 1, stars: 5 }]);
    });

    test('deletes and restores an extended profile together with its base row', async () => {
      await upstreamBroker(1);
      await upstreamBroker(2);
      await run("insert into anjuke_db.ajk_wechat_talent values (1, 1, 3, '2026-11-20 10:00:00')");
      await extended('1,2');
      await run('delete from anjuke_db.ajk_broker where BrokerId = 1');
      await run('update anjuke_db.ajk_broker set Status = 0 where BrokerId = 2');
      await extended('1,2');
      expect((await rows()).map(({ is_deleted }) => is_deleted)).toEqual([1, 1]);
      await upstreamBroker(1);
      await run("replace into anjuke_db.ajk_wechat_talent values (1, 1, 2, '2020-01-01 00:00:00')");
      await extended('1');
      expect((await rows())[0]).toMatchObject({ is_deleted: 0, talent_level: 2 });
    });

    test('writes the current talent when its timestamp is older, and clears a talent that upstream has removed', async () => {
      await upstreamBroker(1);
      await run("insert into anjuke_db.ajk_wechat_talent values (1, 1, 3, '2026-11-20 10:00:00')");
      await extended('1');
      await run("replace into anjuke_db.ajk_wechat_talent values (1, 1, 2, '2026-11-20 09:00:00')");
      await extended('1');
      expect(await rows()).toMatchObject([
        { is_wechat_talent: 1, talent_level: 2, talent_updated_at: '2026-11-20 09:00:00' },
      ]);
      await run('delete from anjuke_db.ajk_wechat_talent');
      await extended('1');
      expect(await rows()).toMatchObject([{ is_wechat_talent: 0, talent_level: null }]);
    });

    test('queries micro shops in batches of 50, and once more alone for each broker that is missing in the answer', async () => {
      const ids = Array.from({ length: 60 }, (_, index) => String(index + 1));
      for (const id of ids) await upstreamBroker(id);
      await open(Object.fromEntries(ids.slice(1).map((id) => [id, shop(`店${id}`)])));
      await microShopService.post('/__forget', { broker_ids: ['60'], times: 2 });
      await shops(ids.join(','));
      const { asked } = await microShopService.state();
      expect((asked as string[][]).map(({ length }) => length).toSorted()).toEqual([1, 1, 10, 50]);
      const [first, second] = await rows();
      expect([first, second]).toMatchObject([noShop, shownShop('店2')]);
      expect((await rows()).at(-1)).toMatchObject({ broker_id: '60', ...shownShop('店60') });
    });

    test('clears the micro shop of a broker that is missing in two answers', async () => {
      await upstreamBroker(1);
      await open({ 1: shop('王芳') });
      await apply(eventOf('broker/apply-event', 'weidian'));
      expect((await rows())[0]).toMatchObject(shownShop('王芳'));
      await open({ 1: null });
      await shops('1');
      expect((await rows())[0]).toMatchObject({ ...noShop, is_deleted: 0 });
    });

    test('stores micro shop names of 255 four-byte characters', async () => {
      await upstreamBroker(1);
      const name = '😀'.repeat(255);
      await open({ 1: { ...shop('甲'), weidian_name: name, wechat_name: ' 名\u0001 ' } });
      await shops('1');
      expect(await rows()).toMatchObject([{ weidian_name: name, wechat_name: ' 名\u0001 ' }]);
    });

    test('applies base, talent, star and micro shop, but no company and no store, when the source is all', async () => {
      await upstreamBroker(1);
      await run(`insert into anjuke_db.ajk_wechat_talent values (1, 1, 3, '2026-11-20 10:00:00');
    insert into anjuke_db.ajk_company values (1, '长', '短', 1, now());
    insert into anjuke_db.ajk_store values (1, 1, '店', '路', 1, now())`);
      await open({ 1: shop('王芳') });
      await apply(eventOf('broker/apply-event', 'everything'));
      expect(await rowsOf('select is_deleted from user_prop_db.broker_base')).toEqual([
        { is_deleted: 0 },
      ]);
      expect(await rows()).toMatchObject([{ is_wechat_talent: 1, ...shownShop('王芳') }]);
      for (const table of ['company', 'store'])
        expect(await rowsOf(`select * from user_prop_db.broker_${table}`)).toEqual([]);
    });
  });

  describe('refused', () => {
    test.each([
      ['a field is missing', { weidian_name: '店', wechat_name: '名' }, 'qrcode'],
      ['a field is a number', { ...shop('错'), wechat_name: 1 }, 'wechat_name'],
      ['it is null', null, 'expected object'],
      ['it is a number', 7, 'expected object'],
      ['it is a text', '店', 'expected object'],
      ['it is a list', [], 'expected object'],
      [
        'a name has 256 characters',
        { ...shop('错'), weidian_name: '😀'.repeat(256) },
        'weidian_name',
      ],
      ['a code has 1001 characters', { ...shop('错'), qrcode: 'x'.repeat(1_001) }, 'qrcode'],
      [
        'a name has half a pair of surrogates',
        { ...shop('错'), wechat_name: '\ud83d' },
        'wechat_name',
      ],
    ])(
      'keeps the fields of a broker and applies the others when its micro shop record is invalid (%s), and dead-letters it alone with the reason',
      async (_, record, reason) => {
        for (const id of [1, 2, 3]) await upstreamBroker(id);
        await open({ 1: shop('甲'), 2: shop('乙'), 3: shop('丙') });
        await shops('2');
        await open({ 2: null });
        await microShopService.post('/__records', { 2: record });
        await shops('1,2,3');
        expect(await rows()).toMatchObject([shownShop('甲'), shownShop('乙'), shownShop('丙')]);
        const alone = { broker_ids: '2', flag: 2, source: 2 };
        expect(await waiting()).toMatchObject([{ body: JSON.stringify(alone), minutes: '0' }]);
        const last = { Records: [await onLastAttempt(alone)] };
        await apply(last);
        expect(await takeDead(dead)).toEqual([
          { body: JSON.stringify(alone), reason: expect.stringContaining(reason) },
        ]);
        expect((await rows())[1]).toMatchObject({ ...shownShop('乙'), is_deleted: 0 });
      },
    );

    test('requeues a base row that cannot be applied separately from the ids that wait for the micro shop service', async () => {
      await upstreamBroker(1);
      await loosened('anjuke_db.ajk_broker', async () => {
        await upstreamBroker(1);
        await upstreamBroker(2, { name: '名'.repeat(65) });
        await microShopService.fault('error', 2);
        await apply(sqsEvent(message('1,2', sources.all)));
        expect((await waiting()).map(({ body }) => JSON.parse(String(body)))).toEqual([
          message('1,2', sources.weidian),
          message('2', sources.all),
        ]);
      });
    });

    test('dead-letters a message of one broker at its last attempt when the talent cannot be written but the base row can', async () => {
      await upstreamBroker(1);
      await open({ 1: shop('甲') });
      await loosened('anjuke_db.ajk_wechat_talent', async () => {
        await run(
          "insert into anjuke_db.ajk_wechat_talent values (1, 1, 2147483648, '2026-11-20 10:00:00')",
        );
        const first = sqsEvent(message('1', sources.all));
        expect(redelivered(first, await handler(first, contextOf()))).toEqual([0]);
        expect(await waiting()).toEqual([]);
        await apply({ Records: [await onLastAttempt(message('1', sources.all))] });
        expect(await takeDead(dead)).toEqual([
          {
            body: JSON.stringify(message('1', sources.all)),
            reason: expect.stringContaining('talent_level'),
          },
        ]);
        expect(await rows()).toMatchObject([shownShop('甲')]);
      });
    });
  });

  describe('concurrency', () => {
    test('keeps the micro shop answer with the later query when an earlier answer arrives after it', async () => {
      await upstreamBroker(1);
      await open({ 1: shop('旧') });
      await microShopService.post('/__hold');
      const early = shops('1');
      await until('it is asked', isAsked);
      await open({ 1: shop('新') });
      await shops('1');
      expect((await rows())[0]).toMatchObject(shownShop('新'));
      await microShopService.post('/__release');
      await early;
      expect((await rows())[0]).toMatchObject(shownShop('新'));
    });

    test('locks no row while the micro shop service is queried', async () => {
      await upstreamBroker(1);
      await open({ 1: shop('王芳') });
      await microShopService.post('/__hold');
      const asking = shops('1');
      await until('it is asked', isAsked);
      await extended('1');
      expect(await rows()).toMatchObject([{ is_deleted: 0, ...noShop }]);
      await microShopService.post('/__release');
      await asking;
      expect(await rows()).toMatchObject([{ is_deleted: 0, ...shownShop('王芳') }]);
    });

    test('writes every field correctly when messages of all sources run concurrently', async () => {
      const ids = Array.from({ length: 20 }, (_, index) => String(index + 1));
      for (const id of ids) await upstreamBroker(id);
      await run(
        `insert into anjuke_db.ajk_star_agent select BrokerId, 1, 4 from anjuke_db.ajk_broker`,
      );
      await open(Object.fromEntries(ids.map((id) => [id, shop(`店${id}`)])));
      const kinds = [sources.weidian, sources.talentAndStar, sources.all, sources.base];
      const event = sqsEvent(
        ...kinds.flatMap((source) => [
          message(ids.join(','), source),
          message(ids.toReversed().join(','), source),
        ]),
      );
      await Promise.all([apply(event), apply(event)]);
      expect(await waiting()).toEqual([]);
      for (const row of await rows())
        expect(row).toMatchObject({
          is_star_agent: 1,
          stars: 4,
          ...shownShop(`店${row['broker_id']}`),
        });
      expect(await rows()).toHaveLength(20);
    });
  });

  describe('outage', () => {
    test.each(['lose_answer', 'error', 'refuse'])(
      'keeps the micro shop fields and postpones the message with growing delays when the service fails with %s',
      async (mode) => {
        await upstreamBroker(1);
        await open({ 1: shop('王芳') });
        await shops('1');
        await open({ 1: null });
        for (const minutes of ['1', '2', '4', '8', '16', '30', '30']) {
          await run('delete from signalbox.outbox');
          await microShopService.fault(mode, mode === 'refuse' ? 1 : 2);
          await shops('1');
          expect(await waiting()).toMatchObject([
            { body: '{"broker_ids":"1","flag":2,"source":2}', minutes },
          ]);
          expect((await rows())[0]).toMatchObject({ ...shownShop('王芳'), is_deleted: 0 });
        }
        await run('delete from signalbox.outbox');
        await shops('1');
        expect((await rows())[0]).toMatchObject({ ...noShop, weidian_failures: 0 });
        expect(await waiting()).toEqual([]);
        expect(await takeDead(dead)).toEqual([]);
      },
    );

    test('applies the answered brokers and postpones the rest when the micro shop service takes 650 ms a query', async () => {
      const ids = Array.from({ length: 100 }, (_, index) => index + 1);
      for (const id of ids) await upstreamBroker(id);
      await microShopService.post('/__faults', { mode: 'slow', times: 1_000, ms: 650 });
      await shops(ids.join(','));
      const asked = async () => (await rows()).filter((row) => row['weidian_asked_at']).length;
      const first = await asked();
      expect(first).toBeGreaterThanOrEqual(50);
      const [rest] = await waiting();
      const body = JSON.parse(String(rest?.['body']));
      expect(body).toMatchObject({ flag: 2, source: sources.weidian });
      expect(body.broker_ids.split(',')).toHaveLength(100 - first);
      await run('delete from signalbox.outbox');
      await apply(sqsEvent(body));
      expect(await asked()).toBe(100);
      expect(await waiting()).toEqual([]);
    }, 60_000);

    test('postpones only the brokers whose queries the micro shop service refuses', async () => {
      const ids = Array.from({ length: 50 }, (_, index) => index + 1);
      for (const id of ids) await upstreamBroker(id);
      await open(Object.fromEntries(ids.map((id) => [id, shop(`店${id}`)])));
      await microShopService.post('/__refuse', { broker_ids: ['17', '33'] });
      await shops(ids.join(','));
      const shown = (await rows()).filter(({ weidian_name }) => weidian_name !== null);
      expect(shown).toHaveLength(48);
      expect(await waiting()).toMatchObject([
        { body: '{"broker_ids":"17,33","flag":2,"source":2}', minutes: '1' },
      ]);
    });

    test('holds only the micro shop part of a message while the kill switch partner/weishop is off', async () => {
      await upstreamBroker(1);
      await run(
        "insert into signalbox.switch values ('partner/weishop', 'off', 'test', 'test', now())",
      );
      const { handler: fresh } = await freshHandler();
      const event = sqsEvent(message('1', sources.all));
      expect(redelivered(event, await fresh(event, contextOf()))).toEqual([]);
      expect(await waiting()).toMatchObject([{ held_by: 'partner/weishop' }]);
      expect((await microShopService.state())['asked']).toEqual([]);
      expect(await rowsOf('select is_deleted from user_prop_db.broker_base')).toEqual([
        { is_deleted: 0 },
      ]);
    });
  });
});
