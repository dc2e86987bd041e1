import { beforeEach, expect, test } from 'vitest';
import * as z from 'zod';
import { Postponed, Unavailable } from '../../lib/platform/errors.ts';
import { deliverDue } from '../../lib/platform/messaging/deliver-due.ts';
import {
  type Deliver,
  deliverBy,
  type OutboxRow,
  postpone,
  queuesByName,
} from '../../lib/platform/messaging/outbox.ts';
import { queue } from '../../lib/platform/messaging/queue.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { resourceName } from '../../lib/platform/names.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';
import { logged } from '../support/captured-logs.ts';
import { resetDatabases, rowsOf, run } from '../support/databases.ts';
import { deliver, flood } from '../support/deliveries.ts';
import { contextOf, eventOf } from '../support/lambda.ts';
import { namedQueue, take } from '../support/queues.ts';

const { handler } = await import('../../functions/platform/deliver-due.ts');

const greetings = queue('test/greet-later', z.object({ n: z.int() }));
const url = await namedQueue(resourceName(greetings.id));
const db = mysql<PlatformTables>('mysql');

async function due(
  count: number,
  { seconds = 0, destination = 'queue:test/greet-later' } = {},
): Promise<void> {
  await run(
    `set session cte_max_recursion_depth = 20000;
     insert into signalbox.outbox (destination, body, due_at)
       with recursive n as (select 1 id union all select id + 1 from n where id < ?)
       select ?, concat('{"n":', id, '}'), now(3) + interval ? second from n`,
    [count, destination, seconds],
  );
}
const pausesOf = async (where = 'true') =>
  (
    await rowsOf(
      `select timestampdiff(second, now(3), due_at) seconds, attempts, reason, kind
       from signalbox.outbox where ${where} order by id`,
    )
  ).map(({ seconds, attempts, reason, kind }) => ({
    seconds: Number(seconds),
    attempts: Number(attempts),
    kind,
    reason: String(reason),
  }));
const left = async () =>
  Number((await rowsOf('select count(*) rows_ from signalbox.outbox'))[0]?.['rows_']);

beforeEach(async () => {
  await resetDatabases();
  await take(url);
});

test('sends what is due to the queue of that name, and leaves what is not, or is held', async () => {
  await due(3);
  await due(1, { seconds: 3600 });
  await due(1);
  await run("update signalbox.outbox set held_by = 'switch' order by id desc limit 1");
  await handler(eventOf('platform/deliver-due', 'minute'), contextOf(6_000));
  expect((await take(url)).map(({ Body }) => Body).toSorted()).toEqual([
    '{"n":1}',
    '{"n":2}',
    '{"n":3}',
  ]);
  expect(await left()).toBe(2);
});

test('ten thousand due at once go out evenly: never more in two seconds than a thirtieth of the limit', async () => {
  await due(10_000);
  const times = new Map<number, number>();
  let minutes = 0;
  while (await left()) {
    minutes += 1;
    await deliver(
      65,
      (rows, atMs) =>
        times.set(minutes * 60_000 + atMs, (times.get(minutes * 60_000 + atMs) ?? 0) + rows.length),
      6000,
    );
  }
  expect(Math.max(...times.values())).toBe(200);
  expect([...times.values()].reduce((sum, count) => sum + count)).toBe(10_000);
  expect(minutes).toBe(2);
});

test('invalidations go first and are not counted', async () => {
  await due(100);
  await due(700, { destination: 'invalidate:broker' });
  const order: string[] = [];
  await deliver(
    6,
    (rows) => order.push(`${rows[0]?.destination.split(':')[0]} ${rows.length}`),
    300,
  );
  expect(order).toEqual(['invalidate 500', 'invalidate 200', 'queue 10']);
});

test('what is refused stays out of sight for half a minute, then it is tried again', async () => {
  await due(1, { destination: 'queue:test/nowhere' });
  const look = () => deliver(6, () => {}, 6000, deliverBy(queuesByName()));
  expect(await look()).toMatchObject({ delivered: 0, failed: 1 });
  const [row] = await rowsOf(
    'select timestampdiff(second, now(3), due_at) seconds, version from signalbox.outbox',
  );
  expect(Number(row?.['seconds'])).toBeGreaterThan(20);
  await run('update signalbox.outbox set destination = ?, due_at = now(3)', [
    'queue:test/greet-later',
  ]);
  expect(await look()).toMatchObject({ delivered: 1, failed: 0 });
  expect(await take(url)).toHaveLength(1);
});

test('two runs at once: one delivers, the other waits for its end and goes on', async () => {
  await due(50);
  let sent = 0;
  const both = await Promise.all([
    deliver(10, (rows) => (sent += rows.length), 600),
    deliver(10, (rows) => (sent += rows.length), 600),
  ]);
  expect(sent).toBe(50);
  expect(both.map(({ outcome }) => outcome)).toContain('delivered');
});

test('an SQS that is away costs nothing: the rows stay', async () => {
  await due(5);
  const away = deliverBy({
    takes: () => true,
    send: async () => Promise.reject(new Error('away')),
  });
  expect(await away([{ id: '1', destination: 'queue:a/b', body: '', version: 1 }])).toEqual([]);
  const gone = deliverBy(queuesByName());
  expect(
    await gone([{ id: '1', destination: 'queue:test/nowhere', body: '{}', version: 1 }]),
  ).toEqual([]);
  expect(await left()).toBe(5);
});

const mebibyte = 1_048_576;
const unavailable = async () => Promise.reject(new Unavailable('SQS is unavailable.'));
const toQueues = () => deliverBy(queuesByName());
const good = ['{"n":1}', '{"n":2}', '{"n":3}'];
/** A row that can never go, due before three good ones. */
async function badBeforeGood(body: string): Promise<void> {
  await run(
    `insert into signalbox.outbox (destination, body, due_at)
     values ('queue:test/greet-later', ?, now(3) - interval 60 second)`,
    [body],
  );
  await due(3);
}

for (const [what, body, reason] of [
  [
    'of one byte more than SQS takes',
    `"${'x'.repeat(mebibyte - 1)}"`,
    'The message has 1048577 bytes; SQS takes 1048576.',
  ],
  ['of 12 MB', 'x'.repeat(12_000_000), 'The message has 12000000 bytes; SQS takes 1048576.'],
  ['with U+FFFF', '{"name":"\uffff"}', 'The message contains U+FFFF, which SQS refuses.'],
  [
    'with a control character',
    '{"name":"\u0001"}',
    'The message contains U+0001, which SQS refuses.',
  ],
  ['that is empty', '', 'The message is empty.'],
] as const)
  test(`a row ${what} is kept with its reason when good rows are due beside it, and they go`, async () => {
    await badBeforeGood(body);
    let first: unknown;
    const lines = await logged(async () => {
      first = await deliver(6, () => {}, 6000, toQueues());
    }, process.stderr);
    const [row] = await rowsOf('select id from signalbox.outbox');
    expect(lines).toMatchObject([
      {
        message: 'refused',
        destination: 'queue:test/greet-later',
        rows: 1,
        ids: [row?.['id']],
        error: { message: reason },
      },
    ]);
    expect(first).toMatchObject({ delivered: 3, failed: 1, measured: { 'rows refused': 1 } });
    expect((await take(url)).map(({ Body }) => Body).toSorted()).toEqual(good);
    expect(await rowsOf('select body from signalbox.outbox')).toEqual([{ body }]);
    expect(await pausesOf()).toMatchObject([{ attempts: 1, reason, kind: 'refused' }]);
  });

test('a message as large as SQS takes goes, and many of them at once do', async () => {
  const largest = `"${'x'.repeat(mebibyte - 2)}"`;
  for (let n = 0; n < 12; n++) await badBeforeGood(largest);
  expect(await deliver(6, () => {}, 6000, toQueues())).toMatchObject({ delivered: 48, failed: 0 });
  expect(await left()).toBe(0);
  await take(url);
});

test('each refusal doubles the pause of its row, up to twenty minutes', async () => {
  await badBeforeGood('{"name":"\uffff"}');
  const pauses: number[] = [];
  for (let n = 1; n <= 8; n++) {
    await deliver(6, () => {}, 6000, toQueues());
    const [row] = await pausesOf();
    expect(row?.attempts).toBe(n);
    pauses.push(Math.round((row?.seconds ?? 0) / 15) * 15);
    await run('update signalbox.outbox set due_at = now(3)');
  }
  expect(pauses).toEqual([30, 60, 120, 240, 480, 960, 1200, 1200]);
});

test('four thousand rows that can never go delay no good row of the same queue', async () => {
  await flood(4000, "'queue:test/greet-later'", '{"name":"\uffff"}');
  await due(3);
  const sentAtMs: number[] = [];
  await deliver(6, (_, atMs) => sentAtMs.push(atMs), 6000, toQueues());
  expect((await take(url)).map(({ Body }) => Body).toSorted()).toEqual(good);
  expect(sentAtMs).toHaveLength(1);
  expect(new Set((await pausesOf()).map(({ attempts }) => attempts))).toEqual(new Set([1]));
  expect(await left()).toBe(4000);
});

test('four thousand rows of queues that are not there delay no good row', async () => {
  await flood(4000, "concat('queue:test/nowhere-', a.id % 40)");
  await due(3);
  await deliver(6, () => {}, 6000, toQueues());
  expect((await take(url)).map(({ Body }) => Body).toSorted()).toEqual(good);
  const [row] = await pausesOf("kind = 'refused'");
  expect(row?.reason).toMatch(/test-nowhere-\d+ .*not exist/);
});

test('rows that were refused before come back beside a flood of others, and go once they can', async () => {
  await due(40);
  await run("update signalbox.outbox set attempts = 3, reason = 'refused'");
  await due(1000);
  const sent: string[] = [];
  await deliver(6, (rows) => sent.push(...rows.map(({ body }) => body)), 6000);
  expect(sent).toHaveLength(200);
  expect(await rowsOf("select count(*) n from signalbox.outbox where kind = 'refused'")).toEqual([
    { n: '20' },
  ]);
});

test('a queue that is unavailable is no reason of its rows: they wait for half a minute each time', async () => {
  await due(2);
  const away: Deliver = async (rows, refused) => {
    for (const row of rows) refused?.(row, new Unavailable('SQS is unavailable.'));
    return [];
  };
  for (let n = 0; n < 3; n++) {
    await deliver(
      6,
      () => {},
      6000,
      n ? away : deliverBy({ takes: () => true, send: unavailable }),
    );
    for (const row of await pausesOf()) {
      expect(row).toMatchObject({ attempts: 0, kind: 'message' });
      expect(row.seconds).toBeLessThanOrEqual(30);
    }
    await run('update signalbox.outbox set due_at = now(3)');
  }
});

test('a message that is postponed again has no refusals any more', async () => {
  const until = new Postponed(new Date(Date.now() + 3_600_000), 'later');
  await postpone(db, greetings, '{"n":1}', until);
  await run("update signalbox.outbox set attempts = 4, reason = 'no such queue'");
  await postpone(db, greetings, '{"n":1}', until);
  expect(await pausesOf()).toMatchObject([{ attempts: 0, reason: 'null', kind: 'message' }]);
});

test('a row that is postponed while it is refused keeps the time that was named', async () => {
  await due(1);
  const slow: Deliver = async () => {
    await run(
      'update signalbox.outbox set version = version + 1, due_at = now(3) + interval 1 hour',
    );
    return [];
  };
  await deliver(6, () => {}, 6000, slow);
  const [row] = await pausesOf();
  expect(row).toMatchObject({ attempts: 0 });
  expect(row?.seconds).toBeGreaterThan(3500);
});

test('each destination has the limit for itself: a flooded one leaves the others theirs', async () => {
  await flood(5000, "'queue:test/flooded'");
  await due(150);
  await due(150, { destination: 'event:test/happened' });
  const sent = new Map<string, number>();
  await deliver(6, (rows) => {
    for (const { destination } of rows) sent.set(destination, (sent.get(destination) ?? 0) + 1);
  });
  expect(Object.fromEntries(sent)).toEqual({
    'queue:test/flooded': 200,
    'queue:test/greet-later': 150,
    'event:test/happened': 150,
  });
});

test('a destination that does not answer keeps no other from being sent, and what it took last is waited for', async () => {
  await due(1, { destination: 'queue:test/slow' });
  await due(400);
  const answered = Promise.withResolvers<void>();
  const order: string[] = [];
  await deliver(
    10,
    () => {},
    6000,
    async (rows) => {
      const destination = rows[0]?.destination ?? '';
      if (destination === 'queue:test/slow') await answered.promise;
      else if (order.push(destination) === 2) answered.resolve();
      return [...rows];
    },
  );
  expect(order).toEqual(['queue:test/greet-later', 'queue:test/greet-later']);
  expect(await left()).toBe(0);
});

test('a look that takes long renews its lease: nobody else delivers meanwhile', async () => {
  await due(2000, { destination: 'invalidate' });
  const leases: number[] = [];
  let nowMs = 0;
  const deps = {
    mysql: db,
    deliver: async (rows: readonly OutboxRow[]) => {
      // The lease as it would be after the second and more that this portion took.
      const [lease] = await rowsOf(
        'select timestampdiff(microsecond, now(3), held_until) / 1e6 seconds from signalbox.claim',
      );
      leases.push(Number(lease?.['seconds']));
      nowMs += 1_500;
      await run(
        'update signalbox.claim set held_until = held_until - interval 1500000 microsecond',
      );
      return [...rows];
    },
    settings: async () => ({ deliveriesPerMinuteMax: 6_000 }),
    pause: async (ms: number) => {
      nowMs += ms;
    },
  };
  await deliverDue(deps, { remaining: () => 16_000 - nowMs });
  expect(await left()).toBe(0);
  expect(leases).toHaveLength(4);
  expect(Math.min(...leases)).toBeGreaterThan(5);
});

test('a run with five seconds left begins no take that would outlast it, however many invalidations are due', async () => {
  await flood(4_000, "'invalidate'", '{"keys":["a"]}');
  await due(1);
  for (const seconds of [5.1, 6.2]) {
    const answer = await deliver(
      seconds,
      () => {},
      6000,
      async (rows) => [...rows],
      () => 1_500,
    );
    expect(answer.leftMs).toBeGreaterThanOrEqual(1_000);
    expect(answer).toMatchObject({ measured: { 'rows refused': 0 } });
  }
});

test('a run ends before its time-out, and measures, when a destination does not answer', async () => {
  await due(1);
  const endMs = Date.now() + 5_200;
  const remaining = () => endMs - Date.now();
  const answer = await deliverDue(
    {
      mysql: db,
      deliver: () => new Promise(() => {}),
      settings: async () => ({ deliveriesPerMinuteMax: 6_000 }),
      pause: (ms) => new Promise((done) => setTimeout(done, ms)),
    },
    { remaining },
  );
  expect(remaining()).toBeGreaterThan(300);
  expect(answer).toMatchObject({ outcome: 'nothing-due', measured: { 'rows refused': 0 } });
  expect(await rowsOf('select held_until <= now(3) free from signalbox.claim')).toEqual([
    { free: '1' },
  ]);
});

test.each(['queue:test/broken', 'invalidate'])(
  'a database error for rows of %s is reported, and the other destinations are sent to in each look',
  async (broken) => {
    await due(1, { destination: broken });
    await due(300);
    await run(
      `create trigger signalbox.broken before update on signalbox.outbox for each row
       begin if new.destination = '${broken}' then signal sqlstate '45000'; end if; end`,
    );
    const atMs: number[] = [];
    try {
      const lines = await logged(async () => {
        const answer = await deliver(10, (_, ms) => atMs.push(ms));
        expect(answer).toMatchObject({ delivered: 300, measured: { 'rows refused': 0 } });
      }, process.stderr);
      expect(lines.filter(({ destination }) => destination === broken)).toHaveLength(3);
    } finally {
      await run('drop trigger signalbox.broken');
    }
    expect(atMs).toEqual([0, 2_000]);
    expect(await rowsOf('select destination from signalbox.outbox')).toEqual([
      { destination: broken },
    ]);
  },
);

test('with the smallest limit every tenth row is one that was refused before, and fresh ones go beside it', async () => {
  await due(3);
  await run("update signalbox.outbox set attempts = 1, reason = 'refused'");
  await due(100);
  const atMs: number[] = [];
  await deliver(65, (_, ms) => atMs.push(ms), 30);
  expect(atMs).toHaveLength(30);
  expect(new Set(atMs).size).toBe(30);
  expect(await rowsOf("select count(*) n from signalbox.outbox where kind = 'refused'")).toEqual([
    { n: '0' },
  ]);
});

test('with the smallest limit rows that are refused one after the other delay no good row of their queue', async () => {
  for (let n = 0; n < 12; n++)
    await run(
      `insert into signalbox.outbox (destination, body, due_at)
       values ('queue:test/greet-later', '', now(3) - interval 60 second)`,
    );
  await run("update signalbox.outbox set body = 'the consumer refuses it'");
  await due(1);
  const refusing: Deliver = async (rows, refused) => {
    const bad = rows.filter(({ body }) => !body.startsWith('{'));
    for (const row of bad) refused?.(row, new Error('It is refused.'));
    return rows.filter(({ body }) => body.startsWith('{'));
  };
  const atMs: number[] = [];
  const note = (rows: readonly OutboxRow[], ms: number) => {
    if (rows.some(({ body }) => body.startsWith('{'))) atMs.push(ms);
  };
  await deliver(6, note, 30, refusing);
  expect(atMs).toEqual([0]);
});

test('more destinations than are sent to side by side all have their turn in one look', async () => {
  await flood(1_000, "concat('queue:test/many-', a.id % 40)");
  let atOnce = 0;
  let most = 0;
  const sent = new Set<string>();
  await deliver(
    6,
    () => {},
    6000,
    async (rows) => {
      most = Math.max(most, ++atOnce);
      await new Promise((done) => setTimeout(done, 100));
      atOnce--;
      sent.add(rows[0]?.destination ?? '');
      return [...rows];
    },
  );
  expect(sent.size).toBe(40);
  expect(most).toBeLessThanOrEqual(8);
});

test('each look releases rows that a lifted switch still holds after a crash', async () => {
  await due(2_500);
  await run("update signalbox.outbox set held_by = 'charging'");
  await run(
    "insert into signalbox.switch (name, state, `by`, why) values ('charging', 'on', 'a', 'b')",
  );
  const sent = new Map<number, number>();
  const note = (rows: readonly OutboxRow[], ms: number) =>
    sent.set(ms, (sent.get(ms) ?? 0) + rows.length);
  await deliver(10, note, 1_000_000);
  expect([...sent]).toEqual([
    [0, 1_000],
    [2_000, 1_000],
    [4_000, 500],
  ]);
  await due(1);
  await run("update signalbox.outbox set held_by = 'charging'");
  await run("update signalbox.switch set state = 'off'");
  expect(await deliver(6, note)).toMatchObject({ delivered: 0 });
});
