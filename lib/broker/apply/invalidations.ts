/** Cache invalidations that follow a change of the user-facing tables. */
import type { OutboxEntry } from '../../platform/messaging/outbox.ts';

/** Limits the length of an outbox row. */
const keysPerRowMax = 500;
/** The delay in seconds of the second invalidation: a fail-over of the cache may have lost the first one without an error. */
export const againSeconds = 8;

/** Returns the outbox entries that invalidate these keys (cache-keys.ts) after the commit, each key twice. */
export function invalidations(keys: readonly string[]): OutboxEntry[] {
  const entries: OutboxEntry[] = [];
  for (let start = 0; start < keys.length; start += keysPerRowMax) {
    const body = JSON.stringify({ keys: keys.slice(start, start + keysPerRowMax) });
    const once = { destination: 'invalidate', body } as const;
    entries.push(once, { ...once, afterSeconds: againSeconds });
  }
  return entries;
}
