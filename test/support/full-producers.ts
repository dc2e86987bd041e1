/** The promises of a producer that publishes everything of one kind, tried on each of them. */
import type { Context } from 'aws-lambda';
import { beforeEach, expect, test, vi } from 'vitest';
import { brokerEvents, type Source } from '../../lib/broker/queues.ts';
import { resetDatabases, rowsOf, run } from './databases.ts';
import { contextOf, eventOf } from './lambda.ts';
import { take, testQueue } from './queues.ts';

interface Kind {
  readonly id: `broker/${string}`;
  readonly source: Source;
  /** Makes rows with the ids 1 to `count` upstream. */
  readonly fill: (count: number) => Promise<void>;
  /** Our table and its key. */
  readonly shown: readonly [table: string, key: string];
}

type Handler = (event: unknown, context: Context) => Promise<Record<string, unknown>>;

/** Rows `from` … as many as are needed, as SQL. */
export const numbers = (count: number): string =>
  `with recursive n as (select 1 id union all select id + 1 from n where id < ${count})`;

export async function describeFullProducer(
  { id, source, fill, shown: [table, key] }: Kind,
  load: () => Promise<{ handler: unknown }>,
): Promise<void> {
  const queue = await testQueue(brokerEvents);
  const handler = (await load()).handler as Handler;
  const call = (input: unknown = {}, remainingMs = 60_000) =>
    handler(input, contextOf(remainingMs));
  const show = (ours: number, deleted = 0) =>
    run(`insert into ${table} (${key}, is_deleted) values (?, ?)`, [ours, deleted]);
  const published = async () => {
    const bodies = (await take(queue)).map(({ Body = '' }) => JSON.parse(Body));
    for (const body of bodies) expect(body).toMatchObject({ flag: 2, source });
    const ids: number[] = bodies.flatMap(({ broker_ids }) => broker_ids.split(',').map(Number));
    return ids.toSorted((a, b) => a - b);
  };
  const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

  beforeEach(async () => {
    await resetDatabases();
    await take(queue);
  });

  test('publishes everything once, and what is shown although it is gone; the audit trail says who', async () => {
    await fill(2500);
    await show(7);
    await show(3000);
    await show(3001, 1);
    const answer = await call(eventOf(id, 'everything'));
    expect(answer).toEqual({ outcome: 'published', run: 1, published: 2501, total: 2500 });
    expect(await published()).toEqual([...upTo(2500), 3000]);
    expect(await rowsOf('select who, what, detail from signalbox.audit')).toEqual([
      { who: 'operator', what: id, detail: { run: 1, total: 2500 } },
    ]);
  });

  test('a second call is another run', async () => {
    await fill(1);
    await call();
    expect(await call()).toMatchObject({ outcome: 'published', run: 2 });
    expect(await published()).toEqual([1, 1]);
  });

  test('out of time it says how to go on; that goes on, and twice does no more', async () => {
    await fill(1500);
    await call();
    await published();
    await run('update signalbox.broker_walk set at_id = 1000, published = 1000, ended = 0');
    expect(await call({}, 9_000)).toEqual({
      ...{ outcome: 'out-of-time', run: 1, published: 1000, total: 1500 },
      resume: { run: 1, after: '1000' },
    });
    const resume = eventOf(id, 'resume');
    expect(await call(resume)).toMatchObject({ outcome: 'published', run: 1, published: 1500 });
    expect(await published()).toEqual(upTo(1500).slice(1000));
    expect(await call(resume)).toMatchObject({ outcome: 'published', run: 1, published: 1500 });
    expect(await published()).toEqual([]);
  });

  test('a run that died is gone on with, after its lease; or begun anew where that is asked for', async () => {
    await fill(1200);
    await call();
    await published();
    const died = `update signalbox.broker_walk set at_id = 1000, published = 1000, ended = 0;
      update signalbox.claim set held_until = now(3) + interval 0.7 second`;
    await run(died);
    expect(await call()).toMatchObject({ outcome: 'published', run: 1, published: 1200 });
    expect(await published()).toEqual(upTo(1200).slice(1000));
    await run(died);
    expect(await call({ anew: true })).toMatchObject({ outcome: 'published', run: 2 });
    expect(await published()).toEqual(upTo(1200));
    await expect(call(eventOf(id, 'resume'))).rejects.toThrow('Run 1');
  });

  test('a crash at any write leaves it where it stood, and the next call publishes the rest', async () => {
    for (const [crash, moment] of [
      ['outbox', 'insert'],
      ['broker_walk', 'update'],
      ['broker_walk', 'insert'],
      ['audit', 'insert'],
    ]) {
      await resetDatabases();
      await fill(3);
      await run(
        `create trigger signalbox.crash before ${moment} on signalbox.${crash} for each row signal sqlstate '45000'`,
      );
      try {
        await expect(call()).rejects.toThrow();
      } finally {
        await run('drop trigger signalbox.crash');
      }
      expect(await published()).toEqual([]);
      expect(await call()).toMatchObject({ outcome: 'published', published: 3 });
      expect(await published()).toEqual([1, 2, 3]);
    }
  });

  test('two at once: each run publishes everything once', async () => {
    await fill(50);
    const answers = await Promise.all([call(), call()]);
    expect(answers.map(({ run: number }) => number).toSorted()).toEqual([1, 2]);
    expect(await published()).toEqual(upTo(50).flatMap((one) => [one, one]));
  });

  test('switched off it stops, and goes on when it is lifted', async () => {
    await fill(3);
    await run('insert into signalbox.switch values (?, ?, ?, ?, now())', [id, 'off', 't', 't']);
    vi.resetModules();
    const off = (await load()).handler as Handler;
    expect(await off({}, contextOf())).toMatchObject({ outcome: 'switched-off', published: 0 });
    expect(await published()).toEqual([]);
    await run('delete from signalbox.switch');
    expect(await call()).toMatchObject({ outcome: 'published', run: 1, published: 3 });
  });

  test('unknown input is refused by name', async () => {
    await expect(call({ form: 'start' })).rejects.toThrow('form');
  });
}
