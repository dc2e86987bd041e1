/** Pure: the rules that decide whether a call is charged. */
import { dateOf, type WallTime } from '../../platform/time.ts';

/** Values of `filter_rule`: 1 is charged, every greater one is not. Other systems read these numbers. */
export const filterRules = {
  valid: 1,
  notConnected: 2,
  tooShort: 3,
  calledBefore: 4,
  broker: 5,
} as const;
export type FilterRule = (typeof filterRules)[keyof typeof filterRules];

/** The `status` of a call that was answered. */
export const connected = 1;

interface Call {
  readonly status: number;
  readonly durationSeconds: number;
  readonly startedAt: WallTime;
}

/** Decided calls of the same caller to the same owner, and whether the caller is a broker. */
export interface CallHistory {
  /** Start of the last decided and connected call at or before this one, under any rule. */
  readonly connectedBeforeAt: WallTime | null;
  /** Start of the first decided and valid call at or after this one. */
  readonly validAfterAt: WallTime | null;
  readonly isBroker: boolean;
}

export interface FilterLimits {
  /** A call of this duration or less is too short. */
  readonly durationSeconds: number;
  /** The starts of two calls must be this far apart, or more. */
  readonly apartSeconds: number;
}

/** One rule, its input and whether it applies to the call. */
interface RuleResult {
  readonly rule: Exclude<FilterRule, 1>;
  readonly input: Readonly<Record<string, unknown>>;
  readonly applies: boolean;
}

/** Stored in the column `decision`: the call's rule, and the results of all rules in their order. */
export interface FilterDecision {
  readonly filterRule: FilterRule;
  readonly rules: readonly RuleResult[];
}

/**
 * Evaluates all rules; the first one that applies decides.
 *
 * Invariants of rule 4, in whatever order calls arrive: the starts of two valid calls of a pair are at least
 * `apartSeconds` apart, because a late call is also compared with valid calls after it; and the rule applies only if
 * there is another call within that time, connected and before this one or valid and after it.
 */
export function evaluateRules(
  call: Call,
  history: CallHistory,
  limits: FilterLimits,
): FilterDecision {
  const { status, durationSeconds, startedAt } = call;
  const { connectedBeforeAt, validAfterAt, isBroker } = history;
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
