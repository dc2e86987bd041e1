import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type CallHistory,
  evaluateRules,
  type FilterRule,
  filterRules,
} from '../../lib/call/filtering/filter-rules.ts';
import { digitsOf, maskNumber } from '../../lib/call/phone-numbers.ts';
import { dateOf, plusSeconds, type WallTime } from '../../lib/platform/time.ts';

/** Returns only the rule. */
const filterRuleOf = (...of: Parameters<typeof evaluateRules>) => evaluateRules(...of).filterRule;

const limits = { durationSeconds: 8, apartSeconds: 86_400 };
const nobody: CallHistory = { connectedBeforeAt: null, validAfterAt: null, isBroker: false };
const good = { status: 1, durationSeconds: 9, startedAt: '2026-11-20 10:00:00' };

interface Arrival {
  readonly offsetSeconds: number;
  readonly status: number;
  readonly durationSeconds: number;
  readonly isBroker: boolean;
}

interface Decided extends Arrival {
  readonly startedAt: WallTime;
  readonly rule: FilterRule;
}

const seconds = (time: WallTime): number => dateOf(time).getTime() / 1000;
const gap = (a: Decided, b: Decided): number => seconds(b.startedAt) - seconds(a.startedAt);

/** Decides all calls of one pair one after another; each sees the decided calls before it. */
function decideAll(arrivals: readonly Arrival[]): Decided[] {
  const decided: Decided[] = [];
  for (const arrival of arrivals) {
    const startedAt = plusSeconds('2026-11-30 20:00:00', arrival.offsetSeconds);
    const before = decided
      .filter((other) => other.status === 1 && other.startedAt <= startedAt)
      .map((other) => other.startedAt)
      .toSorted();
    const after = decided
      .filter((other) => other.rule === filterRules.valid && other.startedAt >= startedAt)
      .map((other) => other.startedAt)
      .toSorted();
    const history = {
      connectedBeforeAt: before.at(-1) ?? null,
      validAfterAt: after[0] ?? null,
      isBroker: arrival.isBroker,
    };
    decided.push({
      ...arrival,
      startedAt,
      rule: filterRuleOf({ ...arrival, startedAt }, history, limits),
    });
  }
  return decided;
}

const arrivals = fc.array(
  fc.record({
    offsetSeconds: fc.oneof(
      fc.integer({ min: 0, max: 5 * 86_400 }),
      // Often exactly at a limit, and often at the same instant.
      fc.constantFrom(0, 86_399, 86_400, 86_401, 172_799, 172_800, 172_801),
    ),
    status: fc.constantFrom(1, 1, 1, 0),
    durationSeconds: fc.constantFrom(8, 9, 60),
    isBroker: fc.constantFrom(false, false, false, true),
  }),
  { maxLength: 14 },
);

describe('lib/call/filtering/filter-rules', () => {
  test('evaluateRules finds a call valid when it was connected, was long enough and has no neighbour', () => {
    expect(filterRuleOf(good, nobody, limits)).toBe(1);
  });

  test.each([0, 2, -1])(
    'evaluateRules returns rule 2 when the status is %i, even if other rules apply',
    (status) => {
      const call = { ...good, status, durationSeconds: 1 };
      const history = { connectedBeforeAt: good.startedAt, validAfterAt: null, isBroker: true };
      expect(filterRuleOf(call, history, limits)).toBe(2);
    },
  );

  test('evaluateRules returns rule 3 when the call lasted 8 seconds, even if later rules apply, but not when it lasted 9', () => {
    const history = { ...nobody, connectedBeforeAt: good.startedAt, isBroker: true };
    expect(filterRuleOf({ ...good, durationSeconds: 8 }, history, limits)).toBe(3);
    expect(filterRuleOf({ ...good, durationSeconds: 9 }, history, limits)).toBe(4);
    expect(
      filterRuleOf({ ...good, durationSeconds: 9 }, { ...nobody, isBroker: true }, limits),
    ).toBe(5);
  });

  test.each([
    { seconds: 0, rule: 4 },
    { seconds: 86_399, rule: 4 },
    { seconds: 86_400, rule: 1 },
    { seconds: 86_401, rule: 1 },
  ])(
    'evaluateRules returns rule $rule when a connected call started $seconds s before, or a valid one $seconds s after',
    ({ seconds, rule }) => {
      const before = { ...nobody, connectedBeforeAt: plusSeconds(good.startedAt, -seconds) };
      expect(filterRuleOf(good, before, limits)).toBe(rule);
      const after = { ...nobody, validAfterAt: plusSeconds(good.startedAt, seconds) };
      expect(filterRuleOf(good, after, limits)).toBe(rule);
    },
  );

  test.each([
    ['2026-11-30 23:59:59', '2026-12-01 00:00:00', 4],
    ['2026-12-31 12:00:00', '2027-01-01 11:59:59', 4],
    ['2026-12-31 12:00:00', '2027-01-01 12:00:00', 1],
    // Shanghai has no summer time; where others have it a day may have 23 or 25 hours.
    ['2026-03-28 12:00:00', '2026-03-29 12:00:00', 1],
    ['2026-10-24 12:00:00', '2026-10-25 11:59:59', 4],
  ])(
    'evaluateRules judges by elapsed seconds across months, years and summer time when calls start at %s and %s (rule %i)',
    (before, startedAt, rule) => {
      const history = { ...nobody, connectedBeforeAt: before };
      expect(filterRuleOf({ ...good, startedAt }, history, limits)).toBe(rule);
    },
  );

  test('evaluateRules returns the input of every rule when an early rule applies', () => {
    const history = {
      connectedBeforeAt: '2026-11-20 09:00:00',
      validAfterAt: null,
      isBroker: true,
    };
    expect(evaluateRules({ ...good, durationSeconds: 3 }, history, limits)).toEqual({
      filterRule: 3,
      rules: [
        { rule: 2, input: { status: 1 }, applies: false },
        { rule: 3, input: { durationSeconds: 3, limitSeconds: 8 }, applies: true },
        {
          rule: 4,
          input: {
            startedAt: good.startedAt,
            connectedBeforeAt: '2026-11-20 09:00:00',
            validAfterAt: null,
            apartSeconds: 86_400,
          },
          applies: true,
        },
        { rule: 5, input: { isBroker: true }, applies: true },
      ],
    });
  });

  test('evaluateRules keeps valid calls of a pair at least a day apart when calls arrive in any order', () => {
    fc.assert(
      fc.property(arrivals, (calls) => {
        const valid = decideAll(calls).filter(({ rule }) => rule === filterRules.valid);
        for (const [index, one] of valid.entries())
          for (const other of valid.slice(index + 1))
            expect(Math.abs(gap(one, other))).toBeGreaterThanOrEqual(86_400);
      }),
      { numRuns: 2000 },
    );
  });

  test('evaluateRules applies rule 4 only when a neighbour within a day exists', () => {
    fc.assert(
      fc.property(arrivals, (calls) => {
        const decided = decideAll(calls);
        for (const [index, call] of decided.entries()) {
          if (call.status !== 1 || call.durationSeconds <= 8 || call.isBroker) continue;
          const earlier = decided.slice(0, index);
          const hasNeighbour = earlier.some(
            (other) =>
              (other.status === 1 && gap(other, call) >= 0 && gap(other, call) < 86_400) ||
              (other.rule === filterRules.valid &&
                gap(call, other) >= 0 &&
                gap(call, other) < 86_400),
          );
          expect(call.rule).toBe(hasNeighbour ? filterRules.calledBefore : filterRules.valid);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('lib/call/phone-numbers', () => {
  test('digitsOf returns the same digits when one number is spelt in different ways', () => {
    const spellings = ['13812345678', '+86 138-1234-5678', '8613812345678', '008613812345678'];
    spellings.push('013812345678', '0086 013812345678', '138 1234 5678', '１３８１２３４５６７８');
    expect(new Set(spellings.map(digitsOf))).toEqual(new Set(['13812345678']));
  });

  test.each([
    ['021-61234567', '02161234567'],
    ['0086 21 61234567', '2161234567'],
    ['86123456', '86123456'],
    ['012345678901', '012345678901'],
    ['400-820-8820', '4008208820'],
    ['', ''],
    ['anonymous', ''],
  ])('digitsOf, when given %j, returns %j', (phone, digits) => {
    expect(digitsOf(phone)).toBe(digits);
  });

  test.each([
    ['13812345678', '138****5678'],
    ['021-61234567', '021****4567'],
    ['12345678', '123****5678'],
    ['123456789', '123****6789'],
    ['+86 13812345678', '138****5678'],
    ['1234567', '****'],
    ['', '****'],
  ])('maskNumber, when given %j, returns %j', (number, shown) => {
    expect(maskNumber(number)).toBe(shown);
  });

  test('digitsOf returns the eleven digits of a mobile number when it has any prefix and any separators', () => {
    const mobile = fc
      .tuple(fc.integer({ min: 3, max: 9 }), fc.integer({ min: 0, max: 999_999_999 }))
      .map(([second, rest]) => `1${second}${String(rest).padStart(9, '0')}`);
    const prefix = fc.constantFrom('', '0', '86', '+86', '0086', '86-0', '0086 0');
    const separator = fc.constantFrom('', ' ', '-', '\t', '.');
    fc.assert(
      fc.property(mobile, prefix, separator, (number, before, mark) => {
        const written = `${before}${mark}${number.slice(0, 3)}${mark}${number.slice(3, 7)}${mark}${number.slice(7)}`;
        expect(digitsOf(written)).toBe(number);
      }),
    );
  });
});
