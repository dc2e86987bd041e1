import { beforeEach, expect, test } from 'vitest';
import * as z from 'zod';
import { deliverDue } from '../../lib/platform/delivery.ts';
import { mysql } from '../../lib/platform/mysql.ts';
import { resourceName } from '../../lib/platform/names.ts';
import { anyQueue, type Deliver, deliverBy, type OutboxRow } from '../../lib/platform/outbox.ts';
import { queue } from '../../lib/platform/queue.ts';
import type { PlatformTables } from '../../lib/platform/schema.ts';
import { resetDatabases, rowsOf, run } from '../support/databases.ts';
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
const left = async () =>
  Number((await rowsOf('select count(*) rows_ from signalbox.outbox'))[0]?.['rows_']);

/** A run on a clock of its own: looking takes no time, pausing does. */
async function deliver(
  seconds: number,
  sent: (rows: readonly OutboxRow[], atMs: number) => void,
  perMinuteMax = 6000,
  send: Deliver = async (rows) => [...rows],
) {
  let nowMs = 0;
  const deps = {
    mysql: db,
    deliver: async (rows: readonly OutboxRow[]) => {
      sent(rows, nowMs);
      return await send(rows);
    },
    settings: async () => ({ deliveriesPerMinuteMax: perMinuteMax }),
    pause: async (ms: number) => {
      nowMs += ms;
    },
  };
  return await deliverDue(deps, { remaining: () => seconds * 1000 - nowMs });
}

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
  const look = () => deliver(6, () => {}, 6000, deliverBy(anyQueue()));
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
  const gone = deliverBy(anyQueue());
  expect(
    await gone([{ id: '1', destination: 'queue:test/nowhere', body: '{}', version: 1 }]),
  ).toEqual([]);
  expect(await left()).toBe(5);
});
