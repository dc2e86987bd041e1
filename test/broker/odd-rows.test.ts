/**
 * An odd row or message of another system must not affect the others. Each table and the queue are tested with each
 * odd value of each column or field once, and with many random odd values.
 */
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { brokerEvents, sources } from '../../lib/broker/queues.ts';
import { isId } from '../../lib/platform/ids.ts';
import { resetDatabases, rowsOf, run, upstreamBroker } from '../support/databases.ts';
import { contextOf, redelivered, sqsEvent } from '../support/lambda.ts';
import { onLastAttempt } from '../support/last-attempt.ts';
import {
  columnsOf,
  everyOddMessage,
  everyOddRow,
  loosened,
  type OddRow,
  oddMessage,
  oddRow,
  oddValuesOf,
  writeRow,
} from '../support/odd-values.ts';
import { take, takeDead, testDeadLetterQueue, testQueue } from '../support/queues.ts';
import { simulatorOf } from '../support/simulators.ts';

const queue = await testQueue(brokerEvents);
const dead = await testDeadLetterQueue(brokerEvents);
const microShopService = simulatorOf('weishop');
const { handler: apply } = await import('../../functions/broker/apply-event.ts');
const publishers = {
  base: (await import('../../functions/broker/publish-base-changes.ts')).handler,
  company: (await import('../../functions/broker/publish-company-changes.ts')).handler,
  store: (await import('../../functions/broker/publish-store-changes.ts')).handler,
};
const { handler: publishStars } = await import('../../functions/broker/publish-ext-profiles.ts');
const { handler: reconcile } = await import('../../functions/broker/reconcile-profiles.ts');

const stamp = '2026-11-20 10:00:00';
const good = ['1', '2', '3'];
/** The id of the first odd row; a message holds at most `oddAtOnceMax` of them beside the good ones. */
const firstOdd = 1_000;
const oddAtOnceMax = 90;

interface Table {
  readonly table: string;
  readonly key: string;
  readonly source: number;
  /** Selects the user-facing row. */
  readonly shown: string;
  readonly goodRow: (id: number | string) => OddRow;
}

const ext = 'select broker_id id, is_wechat_talent, talent_level, is_star_agent, stars, is_deleted';
const tables: readonly Table[] = [
  {
    table: 'anjuke_db.ajk_broker',
    ...{ key: 'BrokerId', source: sources.base },
    shown:
      'select broker_id id, true_name, city_id, company_id, store_id, photo, is_deleted, source_updated_at from user_prop_db.broker_base',
    goodRow: (BrokerId) => ({
      ...{ BrokerId, TrueName: '王芳', CityId: 11, CompanyId: 101, StoreId: 1001 },
      ...{ Photo: 'p.jpg', Status: 1, updated_datetime: stamp },
    }),
  },
  {
    table: 'anjuke_db.ajk_brokerextend',
    ...{ key: 'BrokerId', source: sources.base },
    shown:
      'select broker_id id, mobile, mobile_updated_at, is_deleted from user_prop_db.broker_base',
    goodRow: (BrokerId) => ({ BrokerId, UserMobile: '13800000001', updated_datetime: stamp }),
  },
  {
    table: 'anjuke_db.ajk_company',
    ...{ key: 'CompanyId', source: sources.company },
    shown:
      'select company_id id, name, is_deleted, source_updated_at from user_prop_db.broker_company',
    goodRow: (CompanyId) => ({
      ...{ CompanyId, CompanyName: '长', ShortName: '短', Status: 1, updated_datetime: stamp },
    }),
  },
  {
    table: 'anjuke_db.ajk_store',
    ...{ key: 'StoreId', source: sources.store },
    shown:
      'select store_id id, company_id, name, address, is_deleted, source_updated_at from user_prop_db.broker_store',
    goodRow: (StoreId) => ({
      ...{ StoreId, CompanyId: 101, StoreName: '店', Address: '路', Status: 1 },
      updated_datetime: stamp,
    }),
  },
  {
    table: 'anjuke_db.ajk_wechat_talent',
    ...{ key: 'BrokerId', source: sources.talentAndStar },
    shown: `${ext} from user_prop_db.broker_ext_profile`,
    goodRow: (BrokerId) => ({ BrokerId, IsTalent: 1, Level: 3, updated_datetime: stamp }),
  },
  {
    table: 'anjuke_db.ajk_star_agent',
    ...{ key: 'BrokerId', source: sources.talentAndStar },
    shown: `${ext} from user_prop_db.broker_ext_profile`,
    goodRow: (BrokerId) => ({ BrokerId, IsStar: 1, Stars: 5 }),
  },
];

beforeEach(fresh);

async function fresh(): Promise<void> {
  await resetDatabases();
  await microShopService.reset();
  await take(queue);
  await take(dead);
}

/** Delivers a message and the messages that it requeues, each until it is applied or dead-lettered. */
async function deliver(body: unknown): Promise<void> {
  const event = { Records: [await onLastAttempt(body)] };
  expect(redelivered(event, await apply(event, contextOf()))).toEqual([]);
  const rest = await rowsOf('select body from signalbox.outbox where dedupe_key is not null');
  await run('delete from signalbox.outbox');
  const separated = { Records: await Promise.all(rest.map(({ body }) => onLastAttempt(body))) };
  expect(redelivered(separated, await apply(separated, contextOf()))).toEqual([]);
  expect(await rowsOf('select body from signalbox.outbox where dedupe_key is not null')).toEqual(
    [],
  );
}

const messageOf = (ids: readonly string[], source: number) => ({
  ...{ broker_ids: ids.join(','), flag: 2, source },
});

/** Writes the good rows upstream (with their brokers, if needed), and returns a reader of the user-facing ones. */
async function goodRows({ table, source, shown, goodRow }: Table) {
  const needsBroker = source !== sources.company && source !== sources.store;
  for (const id of good) {
    if (needsBroker) await upstreamBroker(id, { extension: false, stamp });
    await writeRow(table, goodRow(id));
  }
  return async () => await rowsOf(`${shown} where ${shownKey(source)} in (1, 2, 3) order by 1`);
}

const shownKey = (source: number) =>
  source === sources.company ? 'company_id' : source === sources.store ? 'store_id' : 'broker_id';

const chunks = <Item>(items: readonly Item[]): Item[][] =>
  Array.from({ length: Math.ceil(items.length / oddAtOnceMax) }, (_, index) =>
    items.slice(index * oddAtOnceMax, (index + 1) * oddAtOnceMax),
  );

/** Applies odd and good rows in one message, and expects the good ones to equal those applied without odd ones. */
async function expectGoodBeside(one: Table, odd: readonly OddRow[]): Promise<void> {
  const shown = await goodRows(one);
  await deliver(messageOf(good, one.source));
  const alone = await shown();
  expect(alone).toHaveLength(good.length);
  await run('delete from user_prop_db.broker_base; delete from user_prop_db.broker_company');
  await run('delete from user_prop_db.broker_store; delete from user_prop_db.broker_ext_profile');
  for (const row of odd) {
    if (one.table !== 'anjuke_db.ajk_broker') await upstreamBroker(String(row[one.key]), { stamp });
    await writeRow(one.table, row);
  }
  const ids = odd.map((row) => String(row[one.key])).filter(isId);
  await deliver(
    messageOf([...ids.slice(0, ids.length / 2), ...good, ...ids.slice(ids.length / 2)], one.source),
  );
  expect(await shown()).toEqual(alone);
  const applied = await rowsOf(`${one.shown} where ${shownKey(one.source)} >= ${firstOdd}`);
  const letters = await takeDead(dead);
  const named = letters.map(({ body }) => String(JSON.parse(body).broker_ids));
  const all = new Set([...applied.map(({ id }) => String(id)), ...named]);
  // Each odd row is applied or dead-lettered with a reason: none is lost.
  expect(ids.filter((id) => isId(id) && Number(id) >= firstOdd && !all.has(id))).toEqual([]);
  expect(letters.filter(({ reason }) => reason === 'no reason')).toEqual([]);
}

describe('broker with odd rows and messages', () => {
  describe('refused', () => {
    test.each(tables)(
      '$table: a row with any single odd value does not affect the rows in the same message',
      async (one) => {
        const columns = (await columnsOf(one.table)).filter(({ isKey }) => !isKey);
        const rows = everyOddRow(columns, one.goodRow(0)).map(({ row }, index) => ({
          ...row,
          [one.key]: firstOdd + index,
        }));
        for (const odd of chunks(rows))
          await loosened(one.table, async () => {
            await fresh();
            await expectGoodBeside(one, odd);
          });
      },
      120_000,
    );

    test.each(tables)(
      '$table: rows with random odd values do not affect the rows in the same message',
      async (one) => {
        const columns = await columnsOf(one.table);
        const several = fc.array(oddRow(columns.filter(({ isKey }) => !isKey)), {
          minLength: 1,
          maxLength: 12,
        });
        await fc.assert(
          fc.asyncProperty(several, async (rows) => {
            const odd = rows.map((row, index) => ({ ...row, [one.key]: firstOdd + index }));
            await loosened(one.table, async () => {
              await fresh();
              await expectGoodBeside(one, odd);
            });
          }),
          { numRuns: 8, endOnFailure: true },
        );
      },
      120_000,
    );

    test.each([
      ['base', tables[0]],
      ['company', tables[2]],
      ['store', tables[3]],
    ] as const)(
      '%s: rows with the ids 0, negative and 2^63 - 1 do not block the publishing and applying of other changes',
      async (name, one) => {
        if (!one) throw new Error('There is no such table.');
        const [key] = (await columnsOf(one.table)).filter(({ isKey }) => isKey);
        if (!key) throw new Error(`${one.table} has no key.`);
        const odd = oddValuesOf(key).map(String);
        const usable = [
          ...odd.filter(isId),
          ...Array.from({ length: 57 }, (_, n) => String(n + 3)),
        ];
        const ids = [...odd.filter((id) => !isId(id)), ...usable];
        for (const id of ids) await writeRow(one.table, one.goodRow(id));
        await run(`update ${one.table} set updated_datetime = now() - interval 30 second`);
        await publishers[name]({ time: '2026-11-25T02:00:00Z' }, contextOf());
        const bodies = (await take(queue)).map(({ Body = '' }) => JSON.parse(Body));
        const published = bodies.flatMap(({ broker_ids }) => String(broker_ids).split(','));
        expect(published.toSorted()).toEqual(usable.toSorted());
        for (const body of bodies) await deliver(body);
        expect(await rowsOf(`${one.shown} where is_deleted = 0`)).toHaveLength(60);
        expect(await takeDead(dead)).toEqual([]);
      },
    );

    test('publish-ext-profiles publishes the updated star agents of a day when other rows of the state table are odd', async () => {
      const table = 'anjuke_db.ajk_star_agent_state';
      const columns = await columnsOf(table);
      const odd = everyOddRow(columns, { BrokerId: 1, Day: '2026-11-21', Updated: 0 }).filter(
        ({ column, value }) => column !== 'Updated' || value !== 1,
      );
      await loosened(table, async () => {
        for (const [index, { column, row }] of odd.entries())
          await writeRow(
            table,
            column === 'BrokerId' ? row : { ...row, BrokerId: firstOdd + index },
          );
        for (const id of good)
          await writeRow(table, { BrokerId: id, Day: '2026-11-21', Updated: 1 });
        await publishStars(
          { time: '2026-11-21T02:59:00Z', input: { mode: 'star' } } as never,
          contextOf(),
        );
      });
      const bodies = (await take(queue)).map(({ Body = '' }) => JSON.parse(Body));
      expect(bodies).toEqual([messageOf(good, sources.talentAndStar)]);
    });

    test('apply-event applies a good message when the others of its batch have any single odd field, and dead-letters those with a reason', async () => {
      for (const id of good) await upstreamBroker(id, { stamp });
      const messages = everyOddMessage({ broker_ids: '7', flag: 2, source: 1, source_type: 1 });
      for (const odd of chunks(messages)) {
        await run('delete from user_prop_db.broker_base');
        const records = await Promise.all(odd.map(({ message }) => onLastAttempt(message)));
        const event = { Records: [...records, ...sqsEvent(messageOf(good, 1)).Records] };
        expect(redelivered(event, await apply(event, contextOf()))).toEqual([]);
        expect(
          await rowsOf('select broker_id from user_prop_db.broker_base where is_deleted = 0'),
        ).toEqual(good.map((broker_id) => ({ broker_id })));
      }
      const letters = await takeDead(dead);
      expect(letters.length).toBeGreaterThan(100);
      expect(
        letters.filter(({ reason }) => !/^(broker_ids|flag|source|source_type): /.test(reason)),
      ).toEqual([]);
    }, 60_000);

    test('apply-event applies a good message when the others of its batch hold random odd fields', async () => {
      for (const id of good) await upstreamBroker(id, { stamp });
      const several = fc.array(
        oddMessage({ broker_ids: '7,8', flag: 3, source: 99, source_type: 99 }),
        { maxLength: 9 },
      );
      await fc.assert(
        fc.asyncProperty(several, fc.nat(9), async (odd, place) => {
          await run('delete from user_prop_db.broker_base; delete from signalbox.outbox');
          const bodies: unknown[] = odd.map(({ message }) => message);
          bodies.splice(place, 0, messageOf(good, 1));
          const event = sqsEvent(...bodies);
          expect(redelivered(event, await apply(event, contextOf()))).toEqual([]);
          const shown = await rowsOf(
            'select broker_id from user_prop_db.broker_base where is_deleted = 0',
          );
          expect(shown).toEqual(good.map((broker_id) => ({ broker_id })));
        }),
        { numRuns: 20 },
      );
    }, 60_000);

    test('apply-event applies good micro shop records when the others of the answer have any single odd field', async () => {
      const shop = { weidian_name: '店', wechat_name: '名', qrcode: 'q' };
      const records = everyOddMessage(shop);
      for (const odd of chunks(records)) {
        await fresh();
        const ids = odd.map((_, index) => String(firstOdd + index));
        for (const id of [...good, ...ids]) await upstreamBroker(id, { stamp });
        await microShopService.post('/__shops', Object.fromEntries(good.map((id) => [id, shop])));
        await microShopService.post(
          '/__records',
          Object.fromEntries(odd.map(({ message }, n) => [ids[n], message])),
        );
        await deliver(messageOf([...ids, ...good], sources.weidian));
        expect(
          await rowsOf(
            'select weidian_name, wechat_name, weidian_qrcode qrcode from user_prop_db.broker_ext_profile where broker_id < 10',
          ),
        ).toEqual(good.map(() => shop));
        const named = (await takeDead(dead)).map(({ body }) => String(JSON.parse(body).broker_ids));
        const applied = await rowsOf(
          'select broker_id id from user_prop_db.broker_ext_profile where is_deleted = 0',
        );
        const all = new Set([...named, ...applied.map(({ id }) => String(id))]);
        expect(ids.filter((id) => !all.has(id))).toEqual([]);
      }
    }, 120_000);

    test('reconcile-profiles repairs rows that differ when other rows can never be equal', async () => {
      const [one] = tables;
      if (!one) throw new Error('There is no such table.');
      const columns = (await columnsOf(one.table)).filter(({ isKey }) => !isKey);
      const odd = everyOddRow(columns, one.goodRow(0)).map(({ row }, index) => ({
        ...row,
        [one.key]: firstOdd + index,
      }));
      await loosened(one.table, async () => {
        for (const row of odd) await writeRow(one.table, row);
        for (const id of ['0', '-5', ...good]) await writeRow(one.table, one.goodRow(id));
        const first = await reconcile({}, contextOf(60_000));
        await run('update user_prop_db.broker_drift set found_at = found_at - interval 1 hour');
        await reconcile(first['resume'] as object, contextOf(60_000));
        for (const { Body = '' } of await take(queue)) await deliver(JSON.parse(Body));
        const shown = await rowsOf(
          'select broker_id from user_prop_db.broker_base where is_deleted = 0 and broker_id < 10',
        );
        expect(shown).toEqual(good.map((broker_id) => ({ broker_id })));
        const again = await reconcile({}, contextOf(60_000));
        // Only rows that cannot be written still differ, and each of them was dead-lettered.
        const letters = (await takeDead(dead)).map(({ body }) =>
          String(JSON.parse(body).broker_ids),
        );
        await run('update user_prop_db.broker_drift set found_at = found_at - interval 1 hour');
        const { drift } = await reconcile(again['resume'] as object, contextOf(60_000));
        const { base } = drift as { base: { ids: string[] } };
        expect(base.ids.filter((id) => !letters.includes(id))).toEqual([]);
      });
    }, 60_000);
  });
});
