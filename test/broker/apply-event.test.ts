import type { SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { beforeEach, describe, expect, test } from 'vitest';
import { brokerEvents } from '../../lib/broker/queues.ts';
import { connect } from '../../local/mysql.ts';
import {
  resetDatabases,
  rowsOf,
  run,
  serverOfWorker,
  upstreamBroker,
} from '../support/databases.ts';
import { contextOf, eventOf, redelivered, sqsEvent, sqsRecord } from '../support/lambda.ts';
import { onLastAttempt } from '../support/last-attempt.ts';
import { loosened } from '../support/odd-values.ts';
import { take, takeDead, testDeadLetterQueue, testQueue } from '../support/queues.ts';

const dead = await testDeadLetterQueue(brokerEvents);
await testQueue(brokerEvents);
const { handler } = await import('../../functions/broker/apply-event.ts');

const id = 'broker/apply-event';
const apply = (event: SQSEvent): Promise<SQSBatchResponse> => handler(event, contextOf());
const update = (ids: string) => ({ broker_ids: ids, flag: 2, source: 1 });
const bases = () => rowsOf('select * from user_prop_db.broker_base order by broker_id');
const states = async () =>
  (await bases()).map(({ broker_id, is_deleted }) => [broker_id, is_deleted]);

beforeEach(async () => {
  await resetDatabases();
  await take(dead);
});

/** Returns postponed messages: those that wait for a partner, and ids that were requeued separately. */
const waiting = async () =>
  (await rowsOf('select body from signalbox.outbox where dedupe_key is not null order by id')).map(
    ({ body }) => JSON.parse(String(body)),
  );

describe('broker/apply-event', () => {
  describe('happy path', () => {
    test('writes the upstream row of a broker with the telephone number of the extension table', async () => {
      await upstreamBroker(1001, { name: '王芳', stamp: '2026-11-20 23:59:59' });
      await upstreamBroker(1002, { mobile: null });
      await upstreamBroker(1003, { status: 0 });
      await expect(apply(eventOf(id, 'base'))).resolves.toEqual({ batchItemFailures: [] });
      expect(await bases()).toMatchObject([
        {
          broker_id: '1001',
          true_name: '王芳',
          city_id: 11,
          company_id: '101',
          store_id: '1001',
          photo: 'photo.jpg',
          mobile: '13800000001',
          is_deleted: 0,
          source_updated_at: '2026-11-20 23:59:59',
          mobile_updated_at: '2026-11-20 23:59:59',
        },
        { broker_id: '1002', mobile: null, is_deleted: 0 },
        { broker_id: '1003', is_deleted: 1 },
      ]);
    });

    test('keeps a broker whose message says deleted when the upstream row exists', async () => {
      await upstreamBroker(1001);
      await apply(eventOf(id, 'deleted'));
      expect(await states()).toEqual([
        ['1001', 0],
        ['1002', 1],
      ]);
    });

    test('shows a deleted broker again when it comes back with an older timestamp', async () => {
      await upstreamBroker(1, { stamp: '2026-11-20 10:00:00' });
      await apply(sqsEvent(update('1')));
      await run('delete from anjuke_db.ajk_broker');
      await apply(sqsEvent(update('1')));
      expect(await states()).toEqual([['1', 1]]);
      await upstreamBroker(1, { stamp: '2026-11-19 10:00:00', name: '回来' });
      await apply(sqsEvent(update('1')));
      expect(await bases()).toMatchObject([{ is_deleted: 0, true_name: '回来' }]);
    });

    test('writes the current upstream row when its timestamp is older, equal or newer, and the telephone number with its own timestamp', async () => {
      await upstreamBroker(1, { name: '甲', stamp: '2026-11-20 10:00:00', mobile: '13800000001' });
      await apply(sqsEvent(update('1')));
      await upstreamBroker(1, { name: '乙', stamp: '2026-11-20 10:00:00', mobile: '13800000002' });
      await apply(sqsEvent(update('1')));
      expect(await bases()).toMatchObject([{ true_name: '乙', mobile: '13800000002' }]);
      await upstreamBroker(1, { name: '丙', stamp: '2026-11-20 09:59:59', mobile: '13800000003' });
      await run("update anjuke_db.ajk_brokerextend set updated_datetime = '2026-11-20 10:00:01'");
      await apply(sqsEvent(update('1')));
      expect(await bases()).toMatchObject([
        {
          ...{ true_name: '丙', source_updated_at: '2026-11-20 09:59:59' },
          ...{ mobile: '13800000003', mobile_updated_at: '2026-11-20 10:00:01' },
        },
      ]);
    });

    test('hides a row with a timestamp of 2099 when upstream deletes it with an earlier timestamp, and reconciliation finds no drift', async () => {
      await upstreamBroker(1, { stamp: '2099-01-01 00:00:00' });
      await apply(sqsEvent(update('1')));
      expect(await states()).toEqual([['1', 0]]);
      await upstreamBroker(1, { status: 0, stamp: '2026-11-25 10:00:00' });
      await apply(sqsEvent(update('1')));
      expect(await states()).toEqual([['1', 1]]);
      const { handler: reconcile } = await import('../../functions/broker/reconcile-profiles.ts');
      for (let round = 1; round <= 3; round++)
        expect(await reconcile({}, contextOf(60_000))).toMatchObject({ outcome: 'no-drift' });
    });

    test.each([
      ['company', 'CompanyId, ShortName', 100 + 1, 'name'],
      ['store', 'StoreId, StoreName', 100, 'name'],
    ] as const)(
      'writes and deletes a %s when its timestamp goes back',
      async (what, columns, source, name) => {
        const write = (text: string, status: number, stamp: string) =>
          run(
            `replace into anjuke_db.ajk_${what} (${columns}, Status, updated_datetime) values (1, ?, ?, ?)`,
            [text, status, stamp],
          );
        const applied = async () => {
          await apply(sqsEvent({ ...update('1'), source }));
          return await rowsOf(`select ${name} name, is_deleted from user_prop_db.broker_${what}`);
        };
        await write('新', 1, '2099-01-01 00:00:00');
        expect(await applied()).toEqual([{ name: '新', is_deleted: 0 }]);
        await write('旧', 1, '2026-11-20 10:00:00');
        expect(await applied()).toEqual([{ name: '旧', is_deleted: 0 }]);
        await write('旧', 0, '2026-11-19 10:00:00');
        expect(await applied()).toMatchObject([{ is_deleted: 1 }]);
      },
    );

    test('stores null when the upstream timestamp is a zero date', async () => {
      await run(`set @mode = @@sql_mode; set sql_mode = '';
    insert into anjuke_db.ajk_broker (BrokerId, TrueName, Status, updated_datetime) values (1, '旧', 1, '0000-00-00 00:00:00');
    set sql_mode = @mode`);
      await apply(sqsEvent(update('1')));
      expect(await bases()).toMatchObject([
        { true_name: '旧', is_deleted: 0, source_updated_at: null },
      ]);
    });

    test('keeps every digit of ids beyond 2^53', async () => {
      await upstreamBroker('9223372036854775807');
      await apply(sqsEvent(update('9223372036854775807,9223372036854775806')));
      expect(await states()).toEqual([
        ['9223372036854775806', 1],
        ['9223372036854775807', 0],
      ]);
    });

    test('applies every change when a broker changes twice within five minutes or within one second', async () => {
      const names = async (name: string, stamp: string) => {
        await upstreamBroker(1, { name, stamp });
        await apply(sqsEvent(update('1')));
        return (await bases())[0]?.['true_name'];
      };
      expect(await names('甲', '2026-11-20 10:00:00')).toBe('甲');
      expect(await names('乙', '2026-11-20 10:04:59')).toBe('乙');
      expect(await names('丙', '2026-11-20 10:04:59')).toBe('丙');
    });
  });

  describe('refused', () => {
    test('applies nine brokers when the tenth has a name of 65 characters, and dead-letters that one as a separate message', async () => {
      const ids = Array.from({ length: 10 }, (_, index) => index + 1);
      await loosened('anjuke_db.ajk_broker', async () => {
        for (const id of ids) await upstreamBroker(id, id === 7 ? { name: '名'.repeat(65) } : {});
        const event = sqsEvent(update(ids.join(',')));
        expect(redelivered(event, await apply(event))).toEqual([]);
        expect(await states()).toEqual(ids.filter((id) => id !== 7).map((id) => [String(id), 0]));
        expect(await waiting()).toEqual([update('7')]);
        expect(await takeDead(dead)).toEqual([]);
        const last: SQSEvent = { Records: [await onLastAttempt(update('7'))] };
        expect(redelivered(last, await apply(last))).toEqual([]);
        expect(await takeDead(dead)).toEqual([
          {
            body: JSON.stringify(update('7')),
            reason: expect.stringContaining("Data too long for column 'true_name'"),
          },
        ]);
      });
    });

    test('leaves out an id 0 among other ids, and rejects a message with no other id', async () => {
      for (const id of [1, 2]) await upstreamBroker(id);
      const event = sqsEvent(update('1,0,2'), update('0'));
      expect(redelivered(event, await apply(event))).toEqual([]);
      expect(await states()).toEqual([
        ['1', 0],
        ['2', 0],
      ]);
      expect(await takeDead(dead)).toEqual([
        {
          body: JSON.stringify(update('0')),
          reason: 'broker_ids: Expected positive ids joined by commas; number 1 is not an id',
        },
      ]);
    });

    test('applies nine records and dead-letters the tenth with its reason when it is not JSON', async () => {
      for (let broker = 1001; broker <= 1009; broker++) await upstreamBroker(broker);
      const event = eventOf<SQSEvent>(id, 'tenth-is-not-json');
      expect(redelivered(event, await apply(event))).toEqual([]);
      expect(await states()).toHaveLength(9);
      expect(await takeDead(dead)).toEqual([
        { body: 'broker_ids=1010&flag=2', reason: 'The body is not JSON.' },
      ]);
    });

    test('dead-letters each of ten invalid records with its own reason', async () => {
      const event = eventOf<SQSEvent>(id, 'ten-bad');
      expect(redelivered(event, await apply(event))).toEqual([]);
      expect((await takeDead(dead)).map(({ reason }) => reason)).toEqual(
        [
          'The body is not JSON.',
          'Invalid input: expected object, received null',
          'Invalid input: expected object, received array',
          'The body is not JSON.',
          'broker_ids: Invalid input: expected string, received undefined',
          'broker_ids: Expected positive ids joined by commas; number 1 is not an id',
          'broker_ids: Expected positive ids joined by commas; number 2 is not an id',
          'flag: Expected one of 1, 2, 3',
          'source: Expected one of 0, 1, 2, 3, 99, 100, 101',
          'source: source (1) and source_type (2) differ',
        ].toSorted((a, b) => a.localeCompare(b)),
      );
      expect(await bases()).toEqual([]);
    });

    test('retries a message whose row cannot be written, and dead-letters it at its third failure', async () => {
      await upstreamBroker(1, { name: '名'.repeat(64) });
      await run('alter table user_prop_db.broker_base modify true_name varchar(3)');
      try {
        const record = sqsRecord(update('1'), 1);
        const first: SQSEvent = { Records: [record] };
        expect(redelivered(first, await apply(first))).toEqual([0]);
        expect(redelivered(first, await apply(first))).toEqual([0]);
        expect(await bases()).toEqual([]);
        const third: SQSEvent = { Records: [{ ...record }] };
        expect(redelivered(third, await apply(third))).toEqual([]);
        expect(await takeDead(dead)).toEqual([
          {
            body: JSON.stringify(update('1')),
            reason: expect.stringContaining("Data too long for column 'true_name'"),
          },
        ]);
      } finally {
        await run('alter table user_prop_db.broker_base modify true_name varchar(64)');
      }
    });
  });

  describe('repeated delivery', () => {
    test('requeues a bad broker once when its message is delivered several times', async () => {
      await loosened('anjuke_db.ajk_broker', async () => {
        await upstreamBroker(1);
        await upstreamBroker(2, { name: '名'.repeat(65) });
        const event = sqsEvent(update('1,2'), update('2,1'));
        await Promise.all([apply(event), apply(event)]);
        expect(await waiting()).toEqual([update('2')]);
        expect(await states()).toEqual([['1', 0]]);
      });
    });
  });

  describe('concurrency', () => {
    test('leaves the same rows when the same messages run three times concurrently', async () => {
      for (let broker = 1; broker <= 100; broker++) await upstreamBroker(broker);
      const forwards = Array.from({ length: 100 }, (_, index) => index + 1);
      const event = sqsEvent(
        ...Array.from({ length: 10 }, (_, n) =>
          update((n % 2 ? forwards : forwards.toReversed()).join(',')),
        ),
      );
      const results = await Promise.all([apply(event), apply(event), apply(event)]);
      expect(results.map((result) => redelivered(event, result))).toEqual([[], [], []]);
      expect(
        await rowsOf(
          'select count(*) rows_, sum(is_deleted) deleted from user_prop_db.broker_base',
        ),
      ).toEqual([{ rows_: '100', deleted: '0' }]);
    });

    test('leaves the later upstream state when two deliveries run during a change', async () => {
      for (let round = 0; round < 20; round++) {
        await upstreamBroker(1, { name: '之前' });
        const early = apply(sqsEvent(update('1')));
        await run("update anjuke_db.ajk_broker set TrueName = '之后'");
        await Promise.all([early, apply(sqsEvent(update('1')))]);
        expect(await bases()).toMatchObject([{ true_name: '之后' }]);
      }
    });

    test('retries a message and never dead-letters it while another transaction locks its row', async () => {
      await upstreamBroker(1);
      const holder = await connect(serverOfWorker());
      await holder.query('insert into user_prop_db.broker_base (broker_id) values (1)');
      await holder.query(
        'begin; update user_prop_db.broker_base set photo = 1 where broker_id = 1',
      );
      const event: SQSEvent = { Records: [sqsRecord(update('1'), 9)] };
      expect(redelivered(event, await apply(event))).toEqual([0]);
      expect(await takeDead(dead)).toEqual([]);
      await holder.end();
      expect(redelivered(event, await apply(event))).toEqual([]);
      expect(await states()).toEqual([['1', 0]]);
    });
  });
});
