import type { FollowUp } from '../platform/outbox.ts';

/** A whole message of ids, and no statement of the outbox too long. */
const keysPerRowMax = 500;
/** So long after the first the second goes out: a fail-over of the cache may have lost the first without a word. */
const againSeconds = 8;

/** What must follow a commit that changed how these brokers look: each cached profile is forgotten, twice. */
export function invalidations(brokerIds: readonly string[]): FollowUp[] {
  const followUps: FollowUp[] = [];
  for (let start = 0; start < brokerIds.length; start += keysPerRowMax) {
    const keys = brokerIds.slice(start, start + keysPerRowMax).map((id) => `broker:profile:${id}`);
    const once = { destination: 'invalidate', body: JSON.stringify({ keys }) } as const;
    followUps.push(once, { ...once, afterSeconds: againSeconds });
  }
  return followUps;
}
