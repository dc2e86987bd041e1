import { dateOf, type WallTime } from '../../platform/time.ts';

/** `filter_rule`: 1 goes on to be charged, a greater one never is. The numbers are read by others. */
export const filterRules = {
  valid: 1,
  notConnected: 2,
  tooShort: 3,
  calledBefore: 4,
  broker: 5,
} as const;
export type FilterRule = (typeof filterRules)[keyof typeof filterRules];

/** `status` of a call that was answered. */
export const connected = 1;

interface Call {
  readonly status: number;
  readonly durationSeconds: number;
  readonly startedAt: WallTime;
}

/** What was decided about other calls of the same caller to the same owner, and who the caller is. */
export interface CallHistory {
  /** When the last connected call began that is decided and began no later than this one, whatever its own rule. */
  readonly connectedBeforeAt: WallTime | null;
  /** When the first valid call began that is decided and began no earlier than this one. */
  readonly validAfterAt: WallTime | null;
  readonly isBroker: boolean;
}

export interface FilterLimits {
  /** A call must last longer. */
  readonly durationSeconds: number;
  /** Calls must begin this far apart; exactly as far is far enough. */
  readonly apartSeconds: number;
}

/** One rule, what it looked at and whether the call falls under it. */
interface RuleResult {
  readonly rule: Exclude<FilterRule, 1>;
  readonly input: Readonly<Record<string, unknown>>;
  readonly applies: boolean;
}

/** What is kept as `decision` of a call: the rule it falls under, and all that were looked at, in their order. */
export interface FilterDecision {
  readonly filterRule: FilterRule;
  readonly rules: readonly RuleResult[];
}

/**
 * Judges a call by all rules; the first that applies is its own.
 *
 * A call that arrives late is measured against valid ones after it, too: no two valid calls of a pair ever begin
 * less than `apartSeconds` apart, in whatever order they arrive. And a call is passed over for the sake of another
 * (rule 4) only where there is one: connected and before it, or valid and after it.
 */
export function evaluateRules(call: Call, known: CallHistory, limits: FilterLimits): FilterDecision {
  const { status, durationSeconds, startedAt } = call;
  const { connectedBeforeAt, validAfterAt, isBroker } = known;
  const isNear = (other: WallTime | null) =>
    other !== null && secondsBetween(other, startedAt) < limits.apartSeconds;
  const rules: RuleResult[] = [
    {
      rule: filterRules.notConnected,
      input: { status },
      applies: status !== connected,
    },
    {
      rule: filterRules.tooShort,
      input: { durationSeconds, limitSeconds: limits.durationSeconds },
      applies: durationSeconds <= limits.durationSeconds,
    },
    {
      rule: filterRules.calledBefore,
      input: { startedAt, connectedBeforeAt, validAfterAt, apartSeconds: limits.apartSeconds },
      applies: isNear(connectedBeforeAt) || isNear(validAfterAt),
    },
    {
      rule: filterRules.broker,
      input: { isBroker },
      applies: isBroker,
    },
  ];
  return { filterRule: rules.find(({ applies }) => applies)?.rule ?? filterRules.valid, rules };
}

const secondsBetween = (one: WallTime, other: WallTime): number =>
  Math.abs(dateOf(one).getTime() - dateOf(other).getTime()) / 1000;
