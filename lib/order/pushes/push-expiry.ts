/** Decides whether a push is sent, dropped or of unknown result. No I/O. */
import { dateOf } from '../../platform/time.ts';
import { scenarioByNumber } from './scenarios.ts';

const hourMs = 3_600_000;
/** Maximum age of a push that is not urgent. */
const ageMaxMs = 23 * hourMs;
const urgentAgeMaxMs = 2 * hourMs;
/** An urgent push that is older is dropped if its order has changed status since. */
const movedOnMs = 600_000;
/** How long a push may be repeated with the same id: Singer forgets ids after 24 hours. */
const repeatableMs = 23 * hourMs;

export interface PushTiming {
  readonly scenario: number;
  readonly status_after: string;
  readonly changed_at: string;
  readonly late_from: string;
  readonly perhaps_sent_at: string | null;
}

/**
 * Decides what happens to a push that is next in line; `lastStatus` is the last known status of its
 * order. A push that may have been sent is never dropped: it becomes `unknown`, for a person to check.
 */
export function sendDecision(
  push: PushTiming,
  now: Date,
  lastStatus: string | undefined,
): 'send' | 'too old' | 'overtaken' | 'unknown' {
  const reason = dropReason(push, now, lastStatus);
  if (push.perhaps_sent_at === null) return reason ?? 'send';
  return reason || msSince(push.perhaps_sent_at, now) >= repeatableMs ? 'unknown' : 'send';
}

function dropReason(
  { scenario, status_after, changed_at, late_from }: PushTiming,
  now: Date,
  lastStatus: string | undefined,
): 'too old' | 'overtaken' | undefined {
  const { urgent } = scenarioByNumber(scenario);
  if (msSince(late_from, now) >= (urgent ? urgentAgeMaxMs : ageMaxMs)) return 'too old';
  const hasMovedOn = lastStatus !== undefined && lastStatus !== status_after;
  return urgent && hasMovedOn && msSince(changed_at, now) > movedOnMs ? 'overtaken' : undefined;
}

const msSince = (time: string, now: Date): number => now.getTime() - dateOf(time).getTime();
