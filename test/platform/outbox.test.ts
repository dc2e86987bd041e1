import { sql } from 'kysely';
import { beforeEach, expect, test } from 'vitest';
import * as z from 'zod';
import { Postponed } from '../../lib/platform/errors.ts';
import { deliverDue } from '../../lib/platform/messaging/deliver-due.ts';
import {
  type Deliver,
  deliverBy,
  deliverRows,
  type OutboxEntry,
  type OutboxRow,
  postpone,
  queueChannel,
  toQueue,
  transactionWithOutbox,
} from '../../lib/platform/messaging/outbox.ts';
import { queue } from '../../lib/platform/messaging/queue.ts';
import { sender } from '../../lib/platform/messaging/send.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';
import { logged } from '../support/captured-logs.ts';
import { resetDatabases, rowsOf, run } from '../support/databases.ts';
import { take, testQueue } from '../support/queues.ts';

const db = mysql<PlatformTables>('mysql');
const greetings = queue('test/greet', z.object({ name: z.string() }));
const others = queue('test/other', z.object({ name: z.string() }));
const url = await testQueue(greetings);
const toGreetings = deliverBy(queueChannel(greetings));
const nothing: Deliver = async () => [];

const outbox = () =>
  rowsOf('select destination, body, held_by, version from signalbox.outbox order by id');
const waiting = async () =>
  (
    await rowsOf(
      'select timestampdiff(second, now(3), due_at) seconds from signalbox.outbox order by id',
    )
  ).map(({ seconds }) => Number(seconds));
const greet = (name: string) => toQueue(greetings, { name });

beforeEach(async () => {
  await resetDatabases();
  await take(url);
});

test('what follows a commit is sent after it, and its row is gone', async () => {
  await transactionWithOutbox({ mysql: db, deliver: toGreetings }, async (_trx, follow) =>
    follow(greet('王芳')),
  );
  expect((await take(url)).map(({ Body }) => Body)).toEqual(['{"name":"王芳"}']);
  expect(await outbox()).toEqual([]);
});

test('what does not commit is neither kept nor sent', async () => {
  const failing = transactionWithOutbox(
    { mysql: db, deliver: toGreetings },
    async (_trx, follow) => {
      follow(greet('a'));
      throw new Error('no');
    },
  );
  await expect(failing).rejects.toThrow('no');
  expect(await outbox()).toEqual([]);
  expect(await take(url)).toEqual([]);
});

test('a transaction that is run again after a deadlock sends once', async () => {
  let attempts = 0;
  await transactionWithOutbox({ mysql: db, deliver: toGreetings }, async (trx, follow) => {
    follow(greet('a'));
    attempts += 1;
    if (attempts === 1) await sql`signal sqlstate '40001' set mysql_errno = 1213`.execute(trx);
  });
  expect(await take(url)).toHaveLength(1);
});

test('what is not sent stays, due in three seconds; what is for later stays until then', async () => {
  const tomorrow = new Date(Date.now() + 86_400_000);
  await transactionWithOutbox({ mysql: db, deliver: nothing }, async (_trx, follow) =>
    follow(greet('a'), toQueue(greetings, { name: 'b' }, tomorrow)),
  );
  expect(await outbox()).toHaveLength(2);
  const [soon = 0, late = 0] = await waiting();
  expect(soon).toBeLessThanOrEqual(3);
  expect(Math.abs(late - 86_400)).toBeLessThan(60);
});

test('of a thousand rows those that were accepted are gone, those that were not stay', async () => {
  const half: Deliver = async (rows) => rows.filter((_, index) => index % 2 === 0);
  await transactionWithOutbox({ mysql: db, deliver: half }, async (_trx, follow) =>
    follow(...Array.from({ length: 1000 }, (_, index) => greet(String(index)))),
  );
  const left = (await outbox()).map(({ body }) => Number(JSON.parse(String(body)).name));
  expect(left).toEqual(Array.from({ length: 500 }, (_, index) => 2 * index + 1));
});

test('rows are deleted exactly as they were sent when ids grow by seven', async () => {
  await run('set global auto_increment_increment = 7, global auto_increment_offset = 3');
  const own = mysql<PlatformTables>('mysql');
  const tomorrow = new Date(Date.now() + 86_400_000);
  try {
    const refused = new Set(['{"name":"2"}', '{"name":"6"}']);
    const allButTwo: Deliver = async (rows) => rows.filter(({ body }) => !refused.has(body));
    await transactionWithOutbox({ mysql: own, deliver: allButTwo }, async (_trx, follow) => {
      for (let n = 1; n <= 8; n++)
        follow(n === 4 ? toQueue(greetings, { name: '4' }, tomorrow) : greet(String(n)));
    });
    const ids = (await rowsOf('select id, body from signalbox.outbox order by id')).map(
      ({ id, body }) => [Number(id) % 7, body],
    );
    expect(ids).toEqual([
      [3, '{"name":"2"}'],
      [3, '{"name":"4"}'],
      [3, '{"name":"6"}'],
    ]);
  } finally {
    await own.destroy();
    await run('set global auto_increment_increment = 1, global auto_increment_offset = 1');
  }
});

test('a queue that is not named, or is away, leaves its rows; the others go', async () => {
  await transactionWithOutbox({ mysql: db, deliver: toGreetings }, async (_trx, follow) =>
    follow(greet('a'), toQueue(others, { name: 'b' })),
  );
  expect(await take(url)).toHaveLength(1);
  expect((await outbox()).map(({ destination }) => destination)).toEqual(['queue:test/other']);
});

test('what follows a commit and can never be sent stays, with what says so; what follows with it goes', async () => {
  const large: OutboxEntry = { destination: 'queue:test/greet', body: 'x'.repeat(1_048_577) };
  const odd: OutboxEntry = { destination: 'queue:test/greet', body: '{"name":"\uffff"}' };
  const lines = await logged(
    () =>
      transactionWithOutbox({ mysql: db, deliver: toGreetings }, async (_trx, follow) =>
        follow(greet('a'), large, greet('b'), odd, greet('c')),
      ),
    process.stderr,
  );
  const names = (await take(url)).map(({ Body = '' }) => JSON.parse(Body).name);
  expect(names.toSorted()).toEqual(['a', 'b', 'c']);
  expect((await outbox()).map(({ body }) => body)).toEqual([large.body, odd.body]);
  expect(lines).toMatchObject([{ message: 'not-delivered', destination: 'queue:test/greet' }]);
});

test('a message of ours with characters that SQS refuses is written so that SQS takes it, and read as it was', async () => {
  const name = 'a\uffff\ufffe\u0001王芳\ud83d\ude00';
  await transactionWithOutbox({ mysql: db, deliver: toGreetings }, async (_trx, follow) =>
    follow(greet(name)),
  );
  await sender(greetings)([{ name }]);
  const names = (await take(url)).map(({ Body = '' }) => JSON.parse(Body).name);
  expect(names).toEqual([name, name]);
});

test('a row that changed while it was sent is not deleted', async () => {
  await postpone(db, greetings, 'x', new Postponed(new Date(Date.now() + 1000), 'later'));
  const rows = (await rowsOf(
    'select id, destination, body, version from signalbox.outbox',
  )) as unknown as OutboxRow[];
  const changed: Deliver = async (all) => {
    await run('update signalbox.outbox set version = version + 1');
    return [...all];
  };
  await deliverRows(db, changed, rows);
  expect(await outbox()).toMatchObject([{ version: 2 }]);
});

test('a message that is postponed again keeps one row, at the earlier time', async () => {
  const inHours = (hours: number) =>
    new Postponed(new Date(Date.now() + hours * 3_600_000), 'quota used up');
  await postpone(db, greetings, '{"name":"a"}', inHours(5));
  await postpone(db, greetings, '{"name":"a"}', inHours(9));
  await postpone(db, greetings, '{"name":"b"}', inHours(9));
  await postpone(db, greetings, '{"name":"a"}', inHours(2));
  expect(await outbox()).toMatchObject([{ version: 3 }, { version: 1 }]);
  const [first = 0, second = 0] = await waiting();
  expect(Math.abs(first - 2 * 3600)).toBeLessThan(60);
  expect(Math.abs(second - 9 * 3600)).toBeLessThan(60);
});

test('under a switch a row is held; when the switch was lifted meanwhile it is due at once', async () => {
  const stopped = new Postponed(new Date(Date.now() + 9e8), 'stopped', { heldBy: 'call/charging' });
  await run(
    "insert into signalbox.switch (name, state, `by`, why) values ('call/charging', 'off', 'test', 'test')",
  );
  await postpone(db, greetings, 'a', stopped);
  expect(await outbox()).toMatchObject([{ held_by: 'call/charging' }]);
  await run("update signalbox.switch set state = 'on'");
  await postpone(db, greetings, 'a', stopped);
  expect(await outbox()).toMatchObject([{ held_by: null, version: 2 }]);
  expect((await waiting())[0]).toBeLessThanOrEqual(0);
});

test('a message that is postponed before deliver-due has deleted it waits as long as was named', async () => {
  const soon = new Postponed(new Date(Date.now() - 1_000), 'due-now');
  await postpone(db, greetings, 'a', soon);
  const halfAnHour = () => new Postponed(new Date(Date.now() + 30 * 60_000), 'not now');
  let nowMs = 0;
  const deps = {
    mysql: db,
    // SQS has it, and its consumer is quicker than the sender.
    deliver: async (rows: readonly OutboxRow[]) => {
      for (const { body } of rows) await postpone(db, greetings, body, halfAnHour());
      return [...rows];
    },
    settings: async () => ({ deliveriesPerMinuteMax: 6_000 }),
    pause: async (ms: number) => {
      nowMs += ms;
    },
  };
  await deliverDue(deps, { remaining: () => 10_000 - nowMs });
  expect(await outbox()).toMatchObject([{ body: 'a', version: 2 }]);
  expect((await waiting())[0]).toBeGreaterThan(29 * 60);
  // From now on it is a time that a consumer named: of two the earlier one counts.
  await postpone(db, greetings, 'a', new Postponed(new Date(Date.now() + 600_000), 'sooner'));
  await postpone(db, greetings, 'a', halfAnHour());
  const [seconds = 0] = await waiting();
  expect(seconds).toBeGreaterThan(500);
  expect(seconds).toBeLessThanOrEqual(600);
});

test('a message whose sending failed and that is postponed then waits as long as was named', async () => {
  await postpone(db, greetings, 'a', new Postponed(new Date(Date.now() - 1_000), 'due-now'));
  let nowMs = 0;
  const deps = {
    mysql: db,
    deliver: nothing,
    settings: async () => ({ deliveriesPerMinuteMax: 6_000 }),
    pause: async (ms: number) => {
      nowMs += ms;
    },
  };
  await deliverDue(deps, { remaining: () => 10_000 - nowMs });
  await postpone(db, greetings, 'a', new Postponed(new Date(Date.now() + 1_800_000), 'not now'));
  expect((await waiting())[0]).toBeGreaterThan(29 * 60);
});
