import { beforeEach, expect, test } from 'vitest';
import { invalidation } from '../../lib/platform/cache/invalidation.ts';
import { leaseKeyOf } from '../../lib/platform/cache/read-through-cache.ts';
import type { Cache } from '../../lib/platform/cache/redis.ts';
import { isUnavailable } from '../../lib/platform/errors.ts';
import { deliverDue } from '../../lib/platform/messaging/deliver-due.ts';
import { deliverBy, transactionWithOutbox } from '../../lib/platform/messaging/outbox.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';
import { until } from '../../local/processes.ts';
import { resetDatabases, rowsOf, run } from '../support/databases.ts';
import { contextOf, eventOf } from '../support/lambda.ts';
import { patientCache } from '../support/redis.ts';

const { handler } = await import('../../functions/platform/deliver-due.ts');
const db = mysql<PlatformTables>('mysql');
const cache = await patientCache();
const named = (n: number) => `test:invalidation:${process.pid}:${n}`;
const bodyOf = (...those: number[]) => JSON.stringify({ keys: those.map(named) });
const left = async () =>
  Number((await rowsOf('select count(*) n from signalbox.outbox'))[0]?.['n']);

async function put(count: number): Promise<void> {
  await cache((redis) =>
    Promise.all(
      Array.from({ length: count }, async (_, n) => {
        await redis.set(named(n), 'old');
        await redis.set(leaseKeyOf(named(n)), 'a reader');
      }),
    ),
  );
}
const there = async (count: number): Promise<number> => {
  const names = Array.from({ length: count }, (_, n) => [named(n), leaseKeyOf(named(n))]).flat();
  const held = await cache((redis) => Promise.all(names.map((name) => redis.exists(name))));
  return (held ?? []).reduce((sum, one) => sum + one, 0);
};

beforeEach(resetDatabases);

test('deletes the keys and breaks the leases, of several slots and rows', async () => {
  await put(120);
  const bodies = Array.from({ length: 60 }, (_, n) => bodyOf(n, n + 60));
  const errors = await invalidation(cache).send('invalidate', bodies);
  expect(errors).toEqual(bodies.map(() => undefined));
  expect(await there(120)).toBe(0);
});

test('takes nothing but invalidations', () => {
  const { takes } = invalidation(cache);
  expect(['invalidate', 'queue:a/b', 'event:a/b'].map(takes)).toEqual([true, false, false]);
});

test('while the cache does not answer no row counts as delivered, and it is asked once', async () => {
  let asked = 0;
  const away: Cache = async () => {
    asked += 1;
    return undefined;
  };
  const bodies = Array.from({ length: 200 }, (_, n) => bodyOf(n));
  const errors = await invalidation(away).send('invalidate', bodies);
  expect(errors).toHaveLength(200);
  expect(errors.every((error) => error instanceof Error)).toBe(true);
  expect(asked).toBe(1);
});

test('a row that cannot be read harms no other', async () => {
  await put(2);
  const errors = await invalidation(cache).send('invalidate', [bodyOf(0), '{}', bodyOf(1)]);
  expect(errors.map((error) => error instanceof Error)).toEqual([false, true, false]);
  expect(await there(2)).toBe(0);
});

test('rows that cannot be read harm no other, however many they are, and are told from an unavailable cache', async () => {
  await put(2);
  const bad = Array.from({ length: 120 }, (_, n) => (n % 2 ? '{"keys":[]}' : 'no JSON'));
  const errors = await invalidation(cache).send('invalidate', [bodyOf(0), ...bad, bodyOf(1)]);
  expect(await there(2)).toBe(0);
  expect([errors[0], errors.at(-1)]).toEqual([undefined, undefined]);
  expect(errors.slice(1, -1).map((error) => isUnavailable(error))).toEqual(bad.map(() => false));
  const away: Cache = async () => undefined;
  const silent = await invalidation(away).send('invalidate', [bodyOf(0), 'no JSON', bodyOf(1)]);
  expect(silent.map((error) => isUnavailable(error))).toEqual([true, false, true]);
});

test('a row that cannot be read is kept with its reason; those due beside it are made', async () => {
  await put(1);
  await run(
    "insert into signalbox.outbox (destination, body, due_at) values ('invalidate', '{}', now(3)), ('invalidate', ?, now(3))",
    [bodyOf(0)],
  );
  await handler(eventOf('platform/deliver-due', 'minute'), contextOf(6_000));
  expect(await there(1)).toBe(0);
  expect(await rowsOf('select attempts, reason, kind from signalbox.outbox')).toMatchObject([
    { attempts: 1, reason: expect.stringContaining('keys'), kind: 'refused' },
  ]);
});

test('the writer invalidates after its commit; the repetition stays for later', async () => {
  await put(1);
  const deliver = deliverBy(invalidation(cache));
  await transactionWithOutbox({ mysql: db, deliver }, async (_, follow) => {
    const row = { destination: 'invalidate', body: bodyOf(0) } as const;
    follow(row, { ...row, afterSeconds: 8 });
    expect(await there(1)).toBe(2);
  });
  expect(await there(1)).toBe(0);
  const rows = await rowsOf(
    'select timestampdiff(microsecond, created_at, due_at) / 1e6 seconds from signalbox.outbox',
  );
  expect(rows.map(({ seconds }) => Number(seconds))).toEqual([expect.closeTo(8, 1)]);
});

test('deliver-due invalidates what is due', async () => {
  await put(3);
  await run(
    "insert into signalbox.outbox (destination, body, due_at) values ('invalidate', ?, now(3)), ('invalidate', ?, now(3) + interval 1 hour)",
    [bodyOf(0, 1), bodyOf(2)],
  );
  await until('the first two are gone', async () => {
    await handler(eventOf('platform/deliver-due', 'minute'), contextOf(6_000));
    return (await there(3)) === 2;
  });
  expect(await left()).toBe(1);
});

test('the cache is away for ten minutes: nothing is lost, and all is invalidated within ten seconds of its return', async () => {
  const count = 700;
  await put(count);
  for (let start = 0; start < count; start += 100)
    await run('insert into signalbox.outbox (destination, body, due_at) values ?', [
      Array.from({ length: 100 }, (_, n) => ['invalidate', bodyOf(start + n), '2020-01-01']),
    ]);
  let nowMs = 0;
  const backMs = 600_000;
  let asked = 0;
  const timeoutMs = 3_000;
  const ask: Cache = async (question) => {
    if (nowMs >= backMs) return await cache(question);
    asked += 1;
    nowMs += timeoutMs;
    return undefined;
  };
  // MySQL's clock cannot be moved here: what a pause takes is taken off the rows' times instead.
  const later = async (ms: number) => {
    nowMs += ms;
    await run('update signalbox.outbox set due_at = due_at - interval ? microsecond', [ms * 1000]);
  };
  const deps = {
    mysql: db,
    deliver: deliverBy(invalidation(ask)),
    settings: async () => ({ deliveriesPerMinuteMax: 6_000 }),
    pause: later,
  };
  while (await left()) {
    const endMs = nowMs + 60_000;
    await deliverDue(deps, { remaining: () => endMs - nowMs });
    if (nowMs >= backMs + 60_000) break;
  }
  expect(await left()).toBe(0);
  expect(await there(count)).toBe(0);
  expect(asked).toBeGreaterThan(60);
}, 60_000);

test('a slow cache keeps neither messages nor the lease waiting: a look asks it again only while there is time', async () => {
  const keys = Array.from({ length: 20 }, (_, n) => `test:slow:${n}`);
  await run(
    `insert into signalbox.outbox (destination, body, due_at)
       with recursive n as (select 1 id union all select id + 1 from n where id < 500)
       select 'invalidate', ?, now(3) from n`,
    [JSON.stringify({ keys })],
  );
  await run(
    "insert into signalbox.outbox (destination, body, due_at) values ('event:a/b', '{}', now(3))",
  );
  let nowMs = 0;
  let requests = 0;
  const pass = async (ms: number) => {
    nowMs += ms;
    await run('update signalbox.claim set held_until = held_until - interval ? microsecond', [
      ms * 1_000,
    ]);
    await run('update signalbox.outbox set due_at = due_at - interval ? microsecond', [ms * 1_000]);
  };
  const slow: Cache = async (question) => {
    requests += 1;
    await pass(2_500);
    return await cache(question);
  };
  let messageMs = 0;
  const leases: number[] = [];
  const ways = deliverBy(
    invalidation(slow, () => nowMs),
    {
      takes: (destination) => destination.startsWith('event:'),
      send: async (_, bodies) => {
        messageMs = nowMs;
        return bodies.map(() => undefined);
      },
    },
  );
  const answer = await deliverDue(
    {
      mysql: db,
      deliver: async (rows, refused) => {
        const accepted = await ways(rows, refused);
        const [lease] = await rowsOf(
          'select timestampdiff(microsecond, now(3), held_until) / 1e6 seconds from signalbox.claim',
        );
        leases.push(Number(lease?.['seconds']));
        return accepted;
      },
      settings: async () => ({ deliveriesPerMinuteMax: 6_000 }),
      pause: pass,
    },
    { remaining: () => 65_000 - nowMs },
  );
  expect(answer).toMatchObject({ outcome: 'delivered', delivered: 501 });
  expect(requests).toBeLessThanOrEqual(6);
  expect(messageMs).toBeLessThan(10_000);
  expect(Math.min(...leases)).toBeGreaterThan(1);
});

test('a row whose key Redis refuses is refused by itself, and those due beside it are made', async () => {
  await put(2);
  // Key and lease are of different slots: an inner brace ends the slot's part of the lease's name early.
  const refused = Array.from({ length: 60 }, (_, n) => JSON.stringify({ keys: [`bad{${n}}`] }));
  const errors = await invalidation(cache).send('invalidate', [...refused, bodyOf(0)]);
  expect(await there(1)).toBe(0);
  expect(errors.at(-1)).toBe(undefined);
  for (const error of errors.slice(0, -1)) {
    expect(error?.message).toContain('CROSSSLOT');
    expect(isUnavailable(error)).toBe(false);
  }
  const alone = await invalidation(cache).send('invalidate', refused);
  expect(alone.map((error) => isUnavailable(error))).toEqual(refused.map(() => false));
});

test.each([
  'CLUSTERDOWN The cluster is down',
  'LOADING Redis is loading the dataset in memory',
  "READONLY You can't write against a read only replica.",
  'WRONGPASS invalid or missing auth token',
  'ERR max daily request limit exceeded.',
  'Connection is closed.',
])('%s is no refusal of a row: the cache is unavailable', async (reply) => {
  const answering: Cache = async (question) => {
    const del = async () => Promise.reject(new Error(`Command failed: ${reply}`));
    return await question({ del } as never);
  };
  const [error] = await invalidation(answering).send('invalidate', [bodyOf(0)]);
  expect(isUnavailable(error)).toBe(true);
});

test('rows with many keys go in requests of up to two thousand', async () => {
  const sizes: number[] = [];
  const counting: Cache = async (question) => {
    let size = 0;
    const del = async () => {
      size += 1;
      return 1;
    };
    const answer = await question({ del } as never);
    sizes.push(size);
    return answer;
  };
  const keys = Array.from({ length: 500 }, (_, n) => named(n));
  const bodies = Array.from({ length: 9 }, () => JSON.stringify({ keys }));
  const errors = await invalidation(counting).send('invalidate', bodies);
  expect(errors).toEqual(bodies.map(() => undefined));
  expect(sizes).toEqual([2_000, 2_000, 500]);
});
