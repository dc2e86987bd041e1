/** Reads values through the cache, so that an invalidation is never overwritten by an older value. */
import { randomUUID } from 'node:crypto';
import type * as z from 'zod';
import type { Cache } from './redis.ts';

/** No cached value is older, whatever went wrong with its invalidation. */
export const entrySeconds = 3_600;
/**
 * Who reads longer than this fills nothing. It is shorter than the time after which an invalidation is repeated: a
 * lease that a fail-over has brought back is over by then.
 */
export const leaseMs = 5_000;

/** The right to fill a key; the braces put it into the key's own slot. */
export const leaseKeyOf = (key: string): string => `lease:{${key}}`;

/** Fills a key, unless the lease was broken meanwhile: then what was read may be older than the change that broke it. */
export const fillScript = `if redis.call('get', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], ARGV[2], 'EX', ARGV[3])
redis.call('del', KEYS[2])
return 1`;

export interface CacheEntry<Value> {
  readonly cache: Cache;
  /** Of the value as JSON; what an older release has put there and does not fit is read again. */
  readonly schema: z.ZodType<Value>;
}

export interface CacheResult<Value> {
  readonly value: Value | undefined;
  readonly from: 'cache' | 'database';
}

/**
 * Reads through the cache. A value is put there only by who took the lease before reading it and still holds it; an
 * invalidation deletes the key and the lease. Who does not get the lease, or finds the cache unavailable, reads the database
 * and leaves the cache as it is. What is not there is not remembered.
 */
export async function readThrough<Value>(
  { cache, schema }: CacheEntry<Value>,
  key: string,
  load: () => Promise<Value | undefined>,
): Promise<CacheResult<Value>> {
  const held = await cache((redis) => redis.get<unknown>(key));
  const known = schema.safeParse(held);
  if (known.success) return { value: known.data, from: 'cache' };
  const lease = held === undefined ? undefined : await takeLease(cache, key);
  const value = await load();
  if (lease && value !== undefined) await fill(cache, key, lease, value);
  return { value, from: 'database' };
}

async function takeLease(cache: Cache, key: string): Promise<string | undefined> {
  const token = randomUUID();
  const taken = await cache((redis) =>
    redis.set(leaseKeyOf(key), token, { nx: true, px: leaseMs }),
  );
  return taken === 'OK' ? token : undefined;
}

const fill = (cache: Cache, key: string, lease: string, value: unknown) =>
  cache((redis) =>
    redis.eval(fillScript, [key, leaseKeyOf(key)], [lease, JSON.stringify(value), entrySeconds]),
  );
