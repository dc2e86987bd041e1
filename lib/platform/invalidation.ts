import * as z from 'zod';
import { leaseOf } from './cached.ts';
import type { Channel } from './outbox.ts';
import type { Cache } from './redis.ts';

/** The body of an outbox row with the destination `invalidate`. */
const Invalidation = z.object({ keys: z.array(z.string().min(1)).min(1) });

/** Rows whose keys are deleted by one request. */
const rowsPerRequestMax = 50;

/**
 * The cache, as a way out of the outbox: deletes keys and breaks the leases of who is about to fill them, so that
 * nothing which was read before is filled after. A row counts as delivered only when Redis has answered for each of
 * its keys: while it is away, or its client pauses, the rows stay due.
 */
export function invalidation(cache: Cache): Channel {
  return {
    takes: (destination) => destination === 'invalidate',
    send: async (_, bodies) => {
      const errors: (Error | undefined)[] = [];
      for (let start = 0; start < bodies.length; start += rowsPerRequestMax) {
        const part = bodies.slice(start, start + rowsPerRequestMax);
        const answers = await deleted(cache, part);
        errors.push(...(answers ?? part.map(() => new Error('The cache did not answer.'))));
        if (!answers) return [...errors, ...bodies.slice(errors.length).map(() => unasked)];
      }
      return errors;
    },
  };
}

const unasked = new Error('The cache was not asked: it did not answer before.');

/** For each row its error; undefined where the cache as a whole is away. Of a cluster a part may be. */
async function deleted(
  cache: Cache,
  bodies: readonly string[],
): Promise<readonly (Error | undefined)[] | undefined> {
  return await cache(async (redis) => {
    const settled = await Promise.allSettled(
      bodies.map(async (body) => {
        const { keys } = Invalidation.parse(JSON.parse(body));
        await Promise.all(keys.map((key) => redis.del(key, leaseOf(key))));
      }),
    );
    const errors = settled.map((one) => (one.status === 'rejected' ? one.reason : undefined));
    if (errors.every((error) => error !== undefined)) throw errors[0];
    return errors;
  });
}
