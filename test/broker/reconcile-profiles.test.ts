import type { SQSEvent } from 'aws-lambda';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { brokerEvents } from '../../lib/broker/queues.ts';
import { resetDatabases, rowsOf, run, turn } from '../support/databases.ts';
import { contextOf, eventOf, sqsEvent } from '../support/lambda.ts';
import { take, testDeadLetterQueue, testQueue } from '../support/queues.ts';

const id = 'broker/reconcile-profiles';
const queue = await testQueue(brokerEvents);
await testDeadLetterQueue(brokerEvents);
const { handler } = await import('../../functions/broker/reconcile-profiles.ts');
const { handler: apply } = await import('../../functions/broker/apply-event.ts');

const daily = eventOf<object>(id, 'daily');
const graceSeconds = 180;

/** Invokes the function with too little time to wait for suspects. */
const start = (input: object = {}) => handler(input, contextOf(60_000));
/** Makes suspects older, because the database's clock cannot be moved. */
const later = (seconds = graceSeconds) =>
  run(
    `update user_prop_db.broker_drift set found_at = found_at - interval ? second;
    update user_prop_db.broker_reported_drift set found_at = found_at - interval ? second`,
    [seconds, seconds],
  );

async function reconcile(input: object = {}) {
  const { outcome, resume } = await start(input);
  if (outcome !== 'unfinished') return await start({ ...input, at: 'again' });
  await later();
  return await start(resume as object);
}

/** Applies the published messages, and returns their number. */
async function applyPublished(): Promise<number> {
  const messages = await take(queue);
  for (const { Body = '' } of messages) {
    const event: SQSEvent = sqsEvent(JSON.parse(Body));
    expect(await apply(event, contextOf())).toEqual({ batchItemFailures: [] });
  }
  return messages.length;
}

const count = 3_000;

beforeEach(fresh);

/** Fills upstream and the site with equal rows. */
async function fresh(): Promise<void> {
  await resetDatabases();
  await take(queue);
  await run(
    `set session cte_max_recursion_depth = 10000;
    insert into anjuke_db.ajk_broker
      with recursive n as (select 1 id union all select id + 1 from n where id < ?)
      select id, concat('经纪人', id), 11, 1 + id % 40, 1 + id % 60, null, if(id % 10, 1, 0), '2026-11-20 10:00:00' from n;
    insert into anjuke_db.ajk_brokerextend select BrokerId, '13800000001', updated_datetime from anjuke_db.ajk_broker where BrokerId % 3;
    insert into anjuke_db.ajk_company select BrokerId, 'long', concat('公司', BrokerId), 1, updated_datetime from anjuke_db.ajk_broker where BrokerId <= 40;
    insert into anjuke_db.ajk_store select BrokerId, 1, concat('店', BrokerId), null, 1, updated_datetime from anjuke_db.ajk_broker where BrokerId <= 60;
    insert into anjuke_db.ajk_wechat_talent select BrokerId, BrokerId % 2, 3, updated_datetime from anjuke_db.ajk_broker where BrokerId <= 200;
    insert into anjuke_db.ajk_star_agent select BrokerId, BrokerId % 4 = 0, 5 from anjuke_db.ajk_broker where BrokerId <= 200;
    insert into user_prop_db.broker_base (broker_id, true_name, city_id, company_id, store_id, photo, mobile, is_deleted, source_updated_at, mobile_updated_at)
      select b.BrokerId, TrueName, CityId, CompanyId, StoreId, Photo, UserMobile, 1 - Status, b.updated_datetime, e.updated_datetime
      from anjuke_db.ajk_broker b left join anjuke_db.ajk_brokerextend e on e.BrokerId = b.BrokerId;
    insert into user_prop_db.broker_company select CompanyId, ShortName, 0, updated_datetime from anjuke_db.ajk_company;
    insert into user_prop_db.broker_store select StoreId, CompanyId, StoreName, Address, 0, updated_datetime from anjuke_db.ajk_store;
    insert into user_prop_db.broker_ext_profile (broker_id, weidian_name, is_wechat_talent, talent_level, is_star_agent, stars, is_deleted, talent_updated_at)
      select b.BrokerId, '店', coalesce(IsTalent, 0), Level, coalesce(IsStar, 0), Stars, 1 - Status, t.updated_datetime
      from anjuke_db.ajk_broker b left join anjuke_db.ajk_wechat_talent t on t.BrokerId = b.BrokerId
        left join anjuke_db.ajk_star_agent s on s.BrokerId = b.BrokerId`,
    [count],
  );
}

/** A changed field, a missing row, an extra row and a wrong is_deleted; ids that end in 0 are deleted upstream. */
const injected = {
  base: `update user_prop_db.broker_base set true_name = '错' where broker_id between 101 and 109;
    update user_prop_db.broker_base set mobile = null where broker_id between 202 and 208 and broker_id % 3;
    delete from user_prop_db.broker_base where broker_id between 301 and 309;
    insert into user_prop_db.broker_base (broker_id, is_deleted) values (5001, 0), (5002, 0), (5003, 0);
    update user_prop_db.broker_base set is_deleted = 0 where broker_id in (400, 410, 420);
    update user_prop_db.broker_base set is_deleted = 1 where broker_id between 501 and 509;`,
  company: `update user_prop_db.broker_company set name = null where company_id between 1 and 5;
    delete from user_prop_db.broker_company where company_id in (11, 12, 13);
    insert into user_prop_db.broker_company values (900, '多', 0, null), (901, '多', 0, null);
    update user_prop_db.broker_company set is_deleted = 1 where company_id between 21 and 25;`,
  store: `update user_prop_db.broker_store set address = '' where store_id between 1 and 5;
    update user_prop_db.broker_store set company_id = 2 where store_id between 6 and 9;
    delete from user_prop_db.broker_store where store_id in (31, 32, 33);
    insert into user_prop_db.broker_store values (900, null, '多', null, 0, null);
    update user_prop_db.broker_store set is_deleted = 1 where store_id between 41 and 45;`,
  extended: `update user_prop_db.broker_ext_profile set talent_level = 4 where broker_id between 1 and 19 and broker_id % 2;
    update user_prop_db.broker_ext_profile set is_star_agent = 1 where broker_id between 21 and 29 and broker_id % 4;
    delete from user_prop_db.broker_ext_profile where broker_id in (101, 103, 105, 107);
    insert into user_prop_db.broker_ext_profile (broker_id, is_wechat_talent, is_star_agent, is_deleted) values (6001, 1, 0, 0);
    update user_prop_db.broker_ext_profile set is_deleted = 1 where broker_id between 181 and 199 and broker_id % 2;`,
};
const expected = {
  base: [
    ...[101, 102, 103, 104, 105, 106, 107, 108, 109, 202, 203, 205, 206, 208],
    ...[301, 302, 303, 304, 305, 306, 307, 308, 309, 400, 410, 420],
    ...[501, 502, 503, 504, 505, 506, 507, 508, 509, 5001, 5002, 5003],
  ],
  company: [1, 2, 3, 4, 5, 11, 12, 13, 21, 22, 23, 24, 25, 900, 901],
  store: [1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 32, 33, 41, 42, 43, 44, 45, 900],
  extended: [
    ...[1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 22, 23, 25, 26, 27, 29],
    ...[101, 103, 105, 107, 181, 183, 185, 187, 189, 191, 193, 195, 197, 199, 6001],
  ],
};
const driftOf = (those: Record<string, number[]>) =>
  Object.fromEntries(
    Object.entries(those).map(([kind, ids]) => [kind, { rows: ids.length, ids: ids.map(String) }]),
  );

describe('broker/reconcile-profiles', () => {
  describe('happy path', () => {
    test('reports no drift and publishes nothing when the site equals upstream', async () => {
      expect(await start()).toMatchObject({
        outcome: 'no-drift',
        compared: 2_700 + 40 + 60 + 140,
        drift: {},
      });
      expect(await take(queue)).toEqual([]);
    });

    test('reports and publishes each injected difference by id, and finds no drift after they are applied', async () => {
      await run(Object.values(injected).join('\n'));
      // Upstream has no telephone number for every third broker, so removing these two makes no difference.
      const all = { ...expected, base: expected.base.filter((n) => ![204, 207].includes(n)) };
      expect(Object.values(all).flat().length).toBeGreaterThanOrEqual(100);
      const first = await start();
      expect(first).toMatchObject({ outcome: 'unfinished', drift: {} });
      expect(await take(queue)).toEqual([]);
      await later();
      expect(await start(first.resume as object)).toMatchObject({
        outcome: 'drift-found',
        drift: driftOf(all),
      });
      expect(await applyPublished()).toBeGreaterThanOrEqual(4);
      expect(await start()).toMatchObject({ outcome: 'no-drift' });
    }, 60_000);

    test('reports drift but publishes nothing when repair is false', async () => {
      await run(injected.company);
      const found = await reconcile(eventOf<object>(id, 'report-only'));
      expect(found).toMatchObject({
        outcome: 'drift-found',
        drift: driftOf({ company: expected.company }),
      });
      expect(await take(queue)).toEqual([]);
    });

    test('counts and publishes all drift when there is more than the report shows', async () => {
      await run('delete from user_prop_db.broker_base');
      let answer = await reconcile();
      while (answer.outcome === 'unfinished') answer = await start(answer['resume'] as object);
      const { base } = answer['drift'] as { base: { rows: number; ids: string[] } };
      expect([base.rows, base.ids.length]).toEqual([2_700, 100]);
      expect(await take(queue)).toHaveLength(27);
    });

    test('reports no drift for a change that is applied meanwhile, and restarts the grace period of a row that changes again', async () => {
      await run("update anjuke_db.ajk_company set ShortName = '改' where CompanyId in (1, 2)");
      const { outcome, resume } = await start();
      expect(outcome).toBe('unfinished');
      await run(`update user_prop_db.broker_company set name = '改' where company_id = 1;
    update anjuke_db.ajk_company set ShortName = '又改' where CompanyId = 2`);
      await later();
      const second = await start(resume as object);
      expect(second).toMatchObject({ outcome: 'unfinished', suspects: 1, drift: {} });
      await run("update user_prop_db.broker_company set name = '又改' where company_id = 2");
      await later();
      expect(await start(second.resume as object)).toMatchObject({ outcome: 'no-drift' });
      expect(await take(queue)).toEqual([]);
    });

    test('waits for the end of a suspect’s grace period when time remains', async () => {
      await run(injected.company);
      await start();
      await later(graceSeconds - 2);
      expect(await handler({}, contextOf(60_000))).toMatchObject({ outcome: 'drift-found' });
    });
  });

  describe('repeated delivery', () => {
    test('starts one round a day on schedule, and any number by hand', async () => {
      expect(await start(daily)).toMatchObject({ outcome: 'no-drift', round: '1' });
      expect(await start(daily)).toMatchObject({ outcome: 'already-done' });
      expect(await start()).toMatchObject({ outcome: 'no-drift', round: '2' });
      await run('update user_prop_db.broker_round set started_at = started_at - interval 1 day');
      expect(await start(daily)).toMatchObject({ outcome: 'no-drift', round: '3' });
    });

    test('does not count a report by hand as the repair of the day', async () => {
      await run(injected.company);
      expect(await reconcile({ repair: false })).toMatchObject({ outcome: 'drift-found' });
      expect(await take(queue)).toEqual([]);
      expect(await reconcile({ daily: true })).toMatchObject({ outcome: 'drift-found' });
      expect(await take(queue)).toHaveLength(1);
      expect(await start(daily)).toMatchObject({ outcome: 'already-done' });
    });
  });

  describe('concurrency', () => {
    test('ends with lease-not-acquired when another invocation works', async () => {
      const both = await Promise.all([start(), start()]);
      expect(both.map(({ outcome }) => outcome).toSorted()).toEqual([
        'lease-not-acquired',
        'no-drift',
      ]);
    });
  });

  describe('crash', () => {
    test('finds all drift when invocations run out of time and are resumed', async () => {
      await run(injected.store);
      let input: object = {};
      let invocations = 0;
      for (;;) {
        const { outcome, resume } = await handler(input, contextOf(1_000));
        invocations += 1;
        if (outcome !== 'unfinished') break;
        expect(resume).not.toEqual(input);
        input = resume as object;
        const [at] = await rowsOf('select kind from user_prop_db.broker_round');
        if (at?.['kind'] === '') break;
      }
      expect(invocations).toBeGreaterThan(1);
      await later();
      expect(await start(input)).toMatchObject({
        outcome: 'drift-found',
        drift: driftOf({ store: expected.store }),
      });
    });

    test('resumes an unfinished report as a report, independently of the repair of the day', async () => {
      await run(injected.company);
      const report = await start({ repair: false });
      expect(report).toMatchObject({ outcome: 'unfinished', round: '1' });
      const repair = await start(daily);
      expect(repair).toMatchObject({ outcome: 'unfinished', round: '2' });
      await later();
      const drift = driftOf({ company: expected.company });
      expect(await start(report.resume as object)).toMatchObject({ round: '1', drift });
      expect(await take(queue)).toEqual([]);
      expect(await start(repair.resume as object)).toMatchObject({ round: '2', drift });
      expect(await take(queue)).toHaveLength(1);
    });

    test('starts a separate report when a repair is unfinished', async () => {
      await run(injected.company);
      const repair = await start(daily);
      expect(await start({ repair: false })).toMatchObject({ outcome: 'unfinished', round: '2' });
      await later();
      expect(await start(repair.resume as object)).toMatchObject({
        outcome: 'drift-found',
        round: '1',
      });
      expect(await take(queue)).toHaveLength(1);
    });

    test('publishes all drift when any write fails and the round is resumed', async () => {
      for (const [moment, table] of [
        ['insert', 'user_prop_db.broker_drift'],
        ['update', 'user_prop_db.broker_round'],
        ['update', 'user_prop_db.broker_drift'],
        ['insert', 'signalbox.outbox'],
      ] as const) {
        await fresh();
        await run(injected.company);
        const [schema] = table.split('.');
        const crash = `${schema}.crash`;
        await run(
          `create trigger ${crash} before ${moment} on ${table} for each row signal sqlstate '45000'`,
        );
        try {
          await expect(
            start().then(async ({ resume }) => {
              await run(`drop trigger ${crash}`);
              await later();
              await run(
                `create trigger ${crash} before ${moment} on ${table} for each row signal sqlstate '45000'`,
              );
              return await start(resume as object);
            }),
          ).rejects.toThrow();
        } finally {
          await run(`drop trigger if exists ${crash}`);
        }
        expect(await take(queue)).toEqual([]);
        let again = await start();
        if (again.outcome === 'unfinished') {
          await later();
          again = await start(again.resume as object);
        }
        expect(again).toMatchObject({ drift: driftOf({ company: expected.company }) });
        expect(await take(queue)).toHaveLength(1);
      }
    });
  });

  describe('outage', () => {
    test('compares and publishes nothing while its kill switch is off, and resumes the round when it is on', async () => {
      await run("update user_prop_db.broker_base set true_name = 'x' where broker_id = 7");
      await turn(id, 'off');
      vi.resetModules();
      const { handler: off } = await import('../../functions/broker/reconcile-profiles.ts');
      expect(await off(daily, contextOf(60_000))).toMatchObject({
        outcome: 'switched-off',
        switch: id,
      });
      expect(await rowsOf('select * from user_prop_db.broker_round')).toEqual([]);
      await turn(id, 'on');
      vi.resetModules();
      const { handler: on } = await import('../../functions/broker/reconcile-profiles.ts');
      expect(await on(daily, contextOf(60_000))).toMatchObject({ outcome: 'unfinished' });
      await later();
      await turn(id, 'off');
      vi.resetModules();
      const { handler: again } = await import('../../functions/broker/reconcile-profiles.ts');
      expect(await again(daily, contextOf(60_000))).toMatchObject({ outcome: 'switched-off' });
      expect(await applyPublished()).toBe(0);
      await turn(id, 'on');
      expect(await start(daily)).toMatchObject({ outcome: 'drift-found' });
      expect(await applyPublished()).toBe(1);
    });
  });
});
