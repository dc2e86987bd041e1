import { beforeEach, describe, expect, test } from 'vitest';
import { brokerEvents, sources } from '../../lib/broker/queues.ts';
import { resetDatabases, rowsOf, run, upstreamBroker } from '../support/databases.ts';
import { contextOf, eventOf, redelivered, sqsEvent } from '../support/lambda.ts';
import { testDeadLetterQueue } from '../support/queues.ts';

await testDeadLetterQueue(brokerEvents);
const { handler } = await import('../../functions/broker/apply-event.ts');

const apply = async (event: Parameters<typeof handler>[0]) =>
  expect(redelivered(event, await handler(event, contextOf()))).toEqual([]);
const company = (ids: string, flag = 2) =>
  apply(sqsEvent({ broker_ids: ids, flag, source: sources.company }));
const store = (ids: string, flag = 2) =>
  apply(sqsEvent({ broker_ids: ids, flag, source: sources.store }));
const companies = () => rowsOf('select * from user_prop_db.broker_company order by company_id');
const stores = () => rowsOf('select * from user_prop_db.broker_store order by store_id');
const stamp = '2026-11-20 10:00:00';
const upstreamCompany = (id: number, { name = '链家', status = 1, at = stamp } = {}) =>
  run('replace into anjuke_db.ajk_company values (?, ?, ?, ?, ?)', [
    ...[id, `${name}房地产经纪有限公司`, name, status, at],
  ]);
const upstreamStore = (id: number, { name = '徐汇店', status = 1, at = stamp } = {}) =>
  run('replace into anjuke_db.ajk_store values (?, 101, ?, ?, ?, ?)', [
    ...[id, name, '漕溪北路1号', status, at],
  ]);

beforeEach(resetDatabases);

describe('broker/apply-event: companies and stores', () => {
  describe('happy path', () => {
    test('writes a company with its short name', async () => {
      await upstreamCompany(101);
      await upstreamCompany(102, { name: '中原', status: 0 });
      await apply(eventOf('broker/apply-event', 'companies'));
      expect(await companies()).toMatchObject([
        { company_id: '101', name: '链家', is_deleted: 0, source_updated_at: stamp },
        { company_id: '102', is_deleted: 1 },
        { company_id: '103', name: null, is_deleted: 1, source_updated_at: null },
      ]);
    });

    test('writes all columns of a store', async () => {
      await upstreamStore(1001);
      await apply(eventOf('broker/apply-event', 'stores'));
      expect(await stores()).toEqual([
        {
          ...{ store_id: '1001', company_id: '101', name: '徐汇店', address: '漕溪北路1号' },
          ...{ is_deleted: 0, source_updated_at: stamp },
        },
      ]);
    });

    test('marks a row deleted only in the table of the message’s source', async () => {
      await upstreamBroker(7);
      await upstreamCompany(7);
      await upstreamStore(7);
      await apply(sqsEvent({ broker_ids: '7', flag: 2, source: sources.base }));
      await company('7');
      await store('7');
      await run('delete from anjuke_db.ajk_company');
      await company('7', 3);
      const deleted = async () => [
        ...(await rowsOf('select is_deleted from user_prop_db.broker_base')),
        ...(await companies()),
        ...(await stores()),
      ];
      expect((await deleted()).map(({ is_deleted }) => is_deleted)).toEqual([0, 1, 0]);
      await run('delete from anjuke_db.ajk_store');
      await store('7', 3);
      expect((await deleted()).map(({ is_deleted }) => is_deleted)).toEqual([0, 1, 1]);
    });

    test('writes the current company and store when the timestamp is older or equal, and when a deleted one comes back', async () => {
      await upstreamCompany(1, { name: '甲' });
      await upstreamStore(1, { name: '甲' });
      await company('1');
      await store('1');
      await upstreamCompany(1, { name: '乙', at: '2026-11-20 09:59:59' });
      await upstreamStore(1, { name: '乙', at: '2026-11-20 09:59:59' });
      await company('1');
      await store('1');
      expect([await companies(), await stores()]).toMatchObject([
        [{ name: '乙', source_updated_at: '2026-11-20 09:59:59' }],
        [{ name: '乙', source_updated_at: '2026-11-20 09:59:59' }],
      ]);
      await upstreamCompany(1, { name: '丙' });
      await upstreamStore(1, { name: '丙' });
      await company('1');
      await store('1');
      expect([await companies(), await stores()]).toMatchObject([
        [{ name: '丙' }],
        [{ name: '丙' }],
      ]);
      await run('delete from anjuke_db.ajk_company; delete from anjuke_db.ajk_store');
      await company('1');
      await store('1');
      await upstreamCompany(1, { name: '丁', at: '2020-01-01 00:00:00' });
      await upstreamStore(1, { name: '丁', at: '2020-01-01 00:00:00' });
      await company('1');
      await store('1');
      expect([await companies(), await stores()]).toMatchObject([
        [{ name: '丁', is_deleted: 0 }],
        [{ name: '丁', is_deleted: 0 }],
      ]);
    });

    test('keeps a company whose message says deleted when the upstream row exists', async () => {
      await upstreamCompany(1);
      await company('1', 3);
      expect(await companies()).toMatchObject([{ name: '链家', is_deleted: 0 }]);
    });

    test('invalidates one cache key of a company or store, independent of the number of its profiles', async () => {
      await upstreamCompany(101);
      await company('101');
      const forgotten = async () =>
        await rowsOf(
          `select body, timestampdiff(second, created_at, due_at) after from signalbox.outbox
    where destination = 'invalidate' order by id desc limit 1`,
        );
      expect(await forgotten()).toEqual([{ body: '{"keys":["broker:company:101"]}', after: '8' }]);
      await store('1002');
      expect(await forgotten()).toEqual([{ body: '{"keys":["broker:store:1002"]}', after: '8' }]);
    });
  });

  describe('concurrency', () => {
    test('leaves the same rows when several deliveries of the same ids run concurrently', async () => {
      for (let id = 1; id <= 30; id++) {
        await upstreamCompany(id);
        await upstreamStore(id);
      }
      const ids = Array.from({ length: 30 }, (_, index) => index + 1);
      const events = [ids, ids.toReversed()].flatMap((order) =>
        [sources.company, sources.store].map((source) => ({
          ...{ broker_ids: order.join(','), flag: 2, source },
        })),
      );
      await Promise.all([apply(sqsEvent(...events)), apply(sqsEvent(...events.toReversed()))]);
      expect((await companies()).filter(({ is_deleted }) => is_deleted === 0)).toHaveLength(30);
      expect((await stores()).filter(({ is_deleted }) => is_deleted === 0)).toHaveLength(30);
    });
  });
});
