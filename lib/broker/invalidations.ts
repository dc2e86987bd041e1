import type { FollowUp } from '../platform/outbox.ts';

/** No statement of the outbox too long. */
const keysPerRowMax = 500;
/** So long after the first the second goes out: a fail-over of the cache may have lost the first without a word. */
export const againSeconds = 8;

/** What must follow a commit that changed what stands under these keys (keys.ts): each is forgotten, twice. */
export function invalidations(keys: readonly string[]): FollowUp[] {
  const followUps: FollowUp[] = [];
  for (let start = 0; start < keys.length; start += keysPerRowMax) {
    const body = JSON.stringify({ keys: keys.slice(start, start + keysPerRowMax) });
    const once = { destination: 'invalidate', body } as const;
    followUps.push(once, { ...once, afterSeconds: againSeconds });
  }
  return followUps;
}
