/** Deletes cache entries after the commit that changed their rows: the channel `invalidate` of the outbox. */
import * as z from 'zod';
import { textOf, Unavailable } from '../errors.ts';
import { issuesOf } from '../issues.ts';
import type { Channel } from '../messaging/outbox.ts';
import { leaseKeyOf } from './read-through-cache.ts';
import { type Cache, cache, isRefusal, isReply } from './redis.ts';

/** The body of an outbox row with the destination `invalidate`. */
const Invalidation = z.object({ keys: z.array(z.string().min(1)).min(1) });

/** The writer waits this long for its invalidations; `platform/deliver-due` makes the rest. */
const writerTimeoutMs = 500;

/** Keys that are deleted by one request; a row that has more has a request for itself. */
const keysPerRequestMax = 2_000;
/** No further request begins after this much time: with the last one a portion of rows lasts up to 3.5 s. */
const beginWithinMs = 500;

/**
 * The cache, as a way out of the outbox: deletes keys and breaks the leases of who is about to fill them, so that
 * nothing which was read before is filled after. A row counts as delivered only when Redis has answered for each of
 * its keys: while it is unavailable, or its client pauses, the rows stay due. A key that Redis refuses is its row's own fault.
 */
export function invalidation(
  ask: Cache = cache({ timeoutMs: writerTimeoutMs }),
  clock: () => number = Date.now,
): Channel {
  return {
    takes: (destination) => destination === 'invalidate',
    send: async (_, bodies) => {
      const read = bodies.map(keysIn);
      const errors = read.map((one) => (one instanceof Error ? one : undefined));
      const rows = read.flatMap((one, index): Row[] =>
        one instanceof Error ? [] : [{ index, keys: one }],
      );
      const endsAtMs = clock() + beginWithinMs;
      let stopped: Error | undefined;
      for (const [number, part] of partsOf(rows).entries()) {
        if (number && clock() > endsAtMs) stopped ??= slow;
        const answers = stopped ? undefined : await deleted(ask, part);
        for (const [at, { index }] of part.entries())
          errors[index] = answers ? answers[at] : (stopped ?? noAnswer);
        if (!answers) stopped ??= unasked;
      }
      return errors;
    },
  };
}

const noAnswer = new Unavailable('The cache did not answer.');
const unasked = new Unavailable('The cache was not asked: it did not answer before.');
const slow = new Unavailable('The cache was not asked: it was slow before.');

function partsOf(rows: readonly Row[]): Row[][] {
  const parts: Row[][] = [];
  let count = 0;
  for (const row of rows) {
    const last = parts.at(-1);
    count += row.keys.length;
    if (last && count <= keysPerRequestMax) last.push(row);
    else {
      parts.push([row]);
      count = row.keys.length;
    }
  }
  return parts;
}

interface Row {
  readonly index: number;
  readonly keys: readonly string[];
}

/** The keys of a row, or why it cannot be read. */
function keysIn(body: string): readonly string[] | Error {
  try {
    return Invalidation.parse(JSON.parse(body)).keys;
  } catch (error) {
    const why = error instanceof z.ZodError ? issuesOf(error) : 'The body is not JSON.';
    return new Error(`The invalidation cannot be read: ${why}`);
  }
}

/** For each row its error; undefined where the cache answers nothing at all. Of a cluster a part may be unavailable. */
async function deleted(
  ask: Cache,
  rows: readonly Row[],
): Promise<readonly (Error | undefined)[] | undefined> {
  return await ask(async (redis) => {
    const settled = await Promise.allSettled(
      rows.map(({ keys }) => Promise.all(keys.map((key) => redis.del(key, leaseKeyOf(key))))),
    );
    const errors = settled.map((one) => (one.status === 'rejected' ? one.reason : undefined));
    if (errors.every((error) => error !== undefined && !isReply(error))) throw errors[0];
    return errors.map((cause) => cause && errorOf(cause));
  });
}

const errorOf = (cause: unknown): Error =>
  isRefusal(cause)
    ? new Error(`The cache refused a key: ${textOf(cause)}`, { cause })
    : new Unavailable(textOf(cause), { cause });
