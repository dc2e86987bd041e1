import { dateOf } from '../../platform/time.ts';
import { scenarioByNumber } from './scenarios.ts';

const hourMs = 3_600_000;
/** Nobody wants it any more so long after the change. */
const lateMs = 23 * hourMs;
const urgentLateMs = 2 * hourMs;
/** From then on an urgent one is withheld if its order has moved on. */
const movedOnMs = 600_000;
/** The push service forgets an id after 24 hours; before that asking again is safe. */
const askAgainMs = 23 * hourMs;

export interface PushTiming {
  readonly scenario: number;
  readonly status_after: string;
  readonly changed_at: string;
  readonly late_from: string;
  readonly perhaps_sent_at: string | null;
}

/**
 * What is to be done with a push when its turn comes; `seen` is the last status of its order that
 * was seen. What may have been sent already is not withheld: where it would be, what became of it
 * is `unknown`, for a person to find out.
 */
export function sendDecision(
  push: PushTiming,
  now: Date,
  seen: string | undefined,
): 'send' | 'too old' | 'overtaken' | 'unknown' {
  const withheld = withheldFor(push, now, seen);
  if (push.perhaps_sent_at === null) return withheld ?? 'send';
  return withheld || since(push.perhaps_sent_at, now) >= askAgainMs ? 'unknown' : 'send';
}

function withheldFor(
  { scenario, status_after, changed_at, late_from }: PushTiming,
  now: Date,
  seen: string | undefined,
): 'too old' | 'overtaken' | undefined {
  const { urgent } = scenarioByNumber(scenario);
  if (since(late_from, now) >= (urgent ? urgentLateMs : lateMs)) return 'too old';
  const left = seen !== undefined && seen !== status_after;
  return urgent && left && since(changed_at, now) > movedOnMs ? 'overtaken' : undefined;
}

const since = (time: string, now: Date): number => now.getTime() - dateOf(time).getTime();
