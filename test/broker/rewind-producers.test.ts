import { beforeEach, describe, expect, test, vi } from 'vitest';
import { brokerEvents } from '../../lib/broker/queues.ts';
import { resetDatabases, rowsOf, run, turn } from '../support/databases.ts';
import { contextOf, eventOf } from '../support/lambda.ts';
import { take, testQueue } from '../support/queues.ts';

const id = 'broker/rewind-producers';
const queue = await testQueue(brokerEvents);
const { handler } = await import('../../functions/broker/rewind-producers.ts');

const start = (input: unknown, ms = 60_000) => handler(input, contextOf(ms));
const publish = eventOf<object>(id, 'publish');

/** Returns the published ids by source. */
async function published(): Promise<Record<string, string[]>> {
  const sent: Record<string, string[]> = {};
  for (const { Body = '' } of await take(queue)) {
    const { broker_ids, source } = JSON.parse(Body);
    sent[source] = [...(sent[source] ?? []), ...broker_ids.split(',')].toSorted();
  }
  return sent;
}
const trail = () => rowsOf('select who, what, why, detail from signalbox.audit order by id');

beforeEach(async () => {
  await resetDatabases();
  await take(queue);
  const [before, at, after] = ['2026-11-19 23:59:59', '2026-11-20 00:00:00', '2026-11-20 09:00:00'];
  await run(
    `insert into anjuke_db.ajk_broker (BrokerId, Status, updated_datetime) values (1, 1, ?), (2, 1, ?), (3, 0, ?);
    insert into anjuke_db.ajk_brokerextend values (4, '13800000001', ?), (5, '13800000001', ?);
    insert into anjuke_db.ajk_wechat_talent values (6, 1, 1, ?), (7, 0, 1, ?);
    insert into anjuke_db.ajk_star_agent_state values (8, '2026-11-19', 1), (9, '2026-11-20', 1), (10, '2026-11-20', 0);
    insert into anjuke_db.ajk_company (CompanyId, updated_datetime) values (11, ?), (12, ?);
    insert into anjuke_db.ajk_store (StoreId, updated_datetime) values (13, ?), (14, ?);`,
    [before, at, after, before, after, before, after, before, after, before, after],
  );
});

const all = { 1: ['2', '3', '5'], 3: ['7', '9'], 100: ['14'], 101: ['12'] };

describe('broker/rewind-producers', () => {
  describe('happy path', () => {
    test('counts changes and publishes nothing by default, as a dry run', async () => {
      expect(await start(eventOf(id, 'dry-run'))).toEqual({
        outcome: 'dry-run',
        since: '2026-11-20 00:00:00',
        changed: { brokers: 2, extensions: 1, talents: 1, stars: 1, companies: 1, stores: 1 },
        messagesAtLeast: 6,
      });
      expect([await published(), await trail()]).toEqual([{}, []]);
    });

    test('publishes the changes since a time and writes entries into the audit trail', async () => {
      expect(await start(publish)).toMatchObject({ outcome: 'republished', published: 7 });
      expect(await published()).toEqual(all);
      const entries = await trail();
      expect(entries).toHaveLength(6);
      expect(entries[0]).toMatchObject({
        ...{ who: 'wang', what: 'producers/rewind', why: 'messages of the night were lost' },
        detail: expect.objectContaining({ since: '2026-11-20 00:00:00', part: 'brokers', rows: 2 }),
      });
    });

    test('publishes only one source when the input names it', async () => {
      await start({ ...publish, source: 3 });
      expect(await published()).toEqual({ 3: all[3] });
    });
  });

  describe('refused', () => {
    test.each([
      [{}, 'since'],
      [{ since: 'yesterday' }, 'since'],
      [{ since: '2026-13-45 00:00:00' }, 'since'],
      [{ since: '2026-11-20 00:00:00', dryRun: false }, 'by'],
      [{ ...publish, by: ' ' }, 'by'],
      [{ ...publish, source: 2 }, 'source'],
      [{ ...publish, days: 3 }, 'days'],
    ])('rejects the input %j because of its %s', async (input, field) => {
      await expect(start(input)).rejects.toThrow(field);
      expect(await published()).toEqual({});
    });
  });

  describe('crash', () => {
    test('publishes each broker once when every invocation runs out of time and is resumed', async () => {
      await run(`set session cte_max_recursion_depth = 20000;
    insert into anjuke_db.ajk_broker (BrokerId, Status, updated_datetime)
      with recursive n as (select 100 id union all select id + 1 from n where id < 12099)
      select id, 1, '2026-11-20 10:00:00' from n`);
      let input: object | undefined = publish;
      const words: string[] = [];
      while (input) {
        const { outcome, resume }: { outcome: string; resume?: unknown } = await start(
          input,
          1_000,
        );
        words.push(outcome);
        expect(resume).not.toEqual(input);
        input = resume as object | undefined;
        if (words.length === 1) expect(outcome).toBe('unfinished');
      }
      expect(words.at(-1)).toBe('republished');
      const brokers = (await published())['1'] ?? [];
      expect(new Set(brokers).size).toBe(12_003);
      expect(brokers).toHaveLength(12_003);
    }, 60_000);

    test('writes neither messages nor audit entries when its transaction fails', async () => {
      await run(
        "create trigger signalbox.crash before insert on signalbox.outbox for each row signal sqlstate '45000'",
      );
      try {
        await expect(start(publish)).rejects.toThrow();
      } finally {
        await run('drop trigger signalbox.crash');
      }
      expect([await published(), await trail()]).toEqual([{}, []]);
    });
  });

  describe('outage', () => {
    test('publishes nothing while its kill switch is off, and everything when it is on', async () => {
      await turn(id, 'off');
      vi.resetModules();
      const { handler: off } = await import('../../functions/broker/rewind-producers.ts');
      expect(await off(publish, contextOf())).toMatchObject({
        outcome: 'switched-off',
        switch: id,
      });
      expect([await published(), await trail()]).toEqual([{}, []]);
      await turn(id, 'on');
      vi.resetModules();
      const { handler: on } = await import('../../functions/broker/rewind-producers.ts');
      expect(await on(publish, contextOf())).toMatchObject({ published: 7 });
    });
  });
});
