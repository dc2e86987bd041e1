import { beforeEach, expect, test } from 'vitest';
import * as z from 'zod';
import { invalidation } from '../../lib/platform/cache/invalidation.ts';
import {
  entrySeconds,
  leaseKeyOf,
  leaseMs,
  readThrough,
} from '../../lib/platform/cache/read-through-cache.ts';
import type { Cache } from '../../lib/platform/cache/redis.ts';
import { patientCache } from '../support/redis.ts';

const cache = await patientCache();
const schema = z.object({ n: z.int() });
let keys = 0;
let key = '';
beforeEach(() => {
  keys += 1;
  key = `test:cached:${process.pid}:${keys}`;
});

const read = (value: unknown, ask: Cache = cache) =>
  readThrough({ cache: ask, schema }, key, async () => value as { n: number } | undefined);
const invalidate = (...those: string[]) =>
  invalidation(cache).send('invalidate', [JSON.stringify({ keys: those })]);
const kept = (name = key) => cache((redis) => redis.get(name));

test('what was read once comes from the cache, for an hour at most', async () => {
  expect(await read({ n: 1 })).toEqual({ value: { n: 1 }, from: 'database' });
  expect(await read({ n: 2 })).toEqual({ value: { n: 1 }, from: 'cache' });
  const seconds = await cache((redis) => redis.ttl(key));
  expect(seconds).toBeGreaterThan(entrySeconds - 60);
  expect(seconds).toBeLessThanOrEqual(3_600);
  expect(await kept(leaseKeyOf(key))).toBeNull();
});

test('an invalidation between reading and filling: what was read is not kept', async () => {
  const early = readThrough({ cache, schema }, key, async () => {
    await invalidate(key);
    return { n: 1 };
  });
  expect(await early).toEqual({ value: { n: 1 }, from: 'database' });
  expect(await kept()).toBeNull();
  expect(await read({ n: 2 })).toEqual({ value: { n: 2 }, from: 'database' });
  expect(await kept()).toEqual({ n: 2 });
});

test('a reader whose lease was broken does not fill over the one who came after', async () => {
  const early = Promise.withResolvers<{ n: number }>();
  const reading = Promise.withResolvers<void>();
  const first = readThrough({ cache, schema }, key, () => {
    reading.resolve();
    return early.promise;
  });
  await reading.promise;
  await invalidate(key);
  const late = Promise.withResolvers<{ n: number }>();
  const readingToo = Promise.withResolvers<void>();
  const second = readThrough({ cache, schema }, key, () => {
    readingToo.resolve();
    return late.promise;
  });
  await readingToo.promise;
  early.resolve({ n: 1 });
  await first;
  expect(await kept()).toBeNull();
  late.resolve({ n: 2 });
  await second;
  expect(await kept()).toEqual({ n: 2 });
});

test('of many readers at once one fills', async () => {
  let loads = 0;
  const all = await Promise.all(
    Array.from({ length: 20 }, () =>
      readThrough({ cache, schema }, key, async () => {
        loads += 1;
        return { n: loads };
      }),
    ),
  );
  expect(all.every(({ value }) => value && value.n >= 1)).toBe(true);
  expect(await kept()).toMatchObject({ n: expect.any(Number) });
});

test('a lease is over before an invalidation is repeated', async () => {
  const reading = readThrough({ cache, schema }, key, async () => {
    const left = await cache((redis) => redis.pttl(leaseKeyOf(key)));
    return { n: Number(left) };
  });
  const { value } = await reading;
  expect(value?.n).toBeGreaterThan(0);
  expect(value?.n).toBeLessThanOrEqual(leaseMs);
  expect(leaseMs).toBeLessThan(8_000);
});

test('what is not there is not kept, and what does not fit is read anew', async () => {
  expect(await read(undefined)).toEqual({ value: undefined, from: 'database' });
  expect(await kept()).toBeNull();
  await cache((redis) => redis.set(key, { of: 'an older release' }));
  await cache((redis) => redis.del(leaseKeyOf(key)));
  expect(await read({ n: 3 })).toEqual({ value: { n: 3 }, from: 'database' });
  expect(await kept()).toEqual({ n: 3 });
});

test('a cache that is away, or loses an answer, leaves the database to read', async () => {
  const away: Cache = async () => undefined;
  expect(await read({ n: 1 }, away)).toEqual({ value: { n: 1 }, from: 'database' });
  for (let lost = 1; lost <= 3; lost++) {
    let calls = 0;
    const loses: Cache = async (question) => {
      const answer = await cache(question);
      calls += 1;
      return calls === lost ? undefined : answer;
    };
    await cache((redis) => redis.del(key, leaseKeyOf(key)));
    expect(await read({ n: lost }, loses)).toMatchObject({ value: { n: lost } });
    await invalidate(key);
    expect(await read({ n: 9 })).toEqual({ value: { n: 9 }, from: 'database' });
  }
});

test('an error of the database gets out and fills nothing', async () => {
  await expect(
    readThrough({ cache, schema }, key, () => Promise.reject(new Error('away'))),
  ).rejects.toThrow('away');
  expect(await kept()).toBeNull();
});
