import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type PushTiming, sendDecision } from '../../lib/order/pushes/push-expiry.ts';
import { wallTimeMs } from '../../lib/platform/time.ts';

const changed = new Date('2026-03-01T10:00:00+08:00');
const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const after = (ms: number) => new Date(changed.getTime() + ms);
const push = (scenario: number, more: Partial<PushTiming> = {}): PushTiming => ({
  scenario,
  status_after: 'PENDING_ACCEPT',
  changed_at: wallTimeMs(changed),
  late_from: wallTimeMs(changed),
  perhaps_sent_at: null,
  ...more,
});

test.each([
  { scenario: 2, hours: 2 },
  { scenario: 14, hours: 2 },
  { scenario: 1, hours: 23 },
  { scenario: 8, hours: 23 },
  { scenario: 15, hours: 23 },
])('scenario $scenario is too old after $hours hours, to the millisecond', (one) => {
  const { scenario, hours } = one;
  expect(sendDecision(push(scenario), after(hours * hourMs - 1), 'PENDING_ACCEPT')).toBe('send');
  expect(sendDecision(push(scenario), after(hours * hourMs), 'PENDING_ACCEPT')).toBe('too old');
});

test('only an urgent one is overtaken: over ten minutes old, its order no longer what it became', () => {
  const moved = 'PENDING_SERVICE';
  for (const scenario of [2, 14]) {
    expect(sendDecision(push(scenario), after(10 * minuteMs), moved)).toBe('send');
    expect(sendDecision(push(scenario), after(10 * minuteMs + 1), moved)).toBe('overtaken');
    expect(sendDecision(push(scenario), after(hourMs), 'PENDING_ACCEPT')).toBe('send');
    expect(sendDecision(push(scenario), after(hourMs), undefined)).toBe('send');
  }
  for (const scenario of [1, 3, 8, 13, 15])
    expect(sendDecision(push(scenario), after(hourMs), moved)).toBe('send');
});

test('an age counts from when a person sent it again, and an order has moved on since the change itself', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 15 }),
      fc.integer({ min: 0, max: 60 * 60 }),
      fc.integer({ min: 0, max: 60 * 60 }),
      fc.boolean(),
      (scenario, ageMinutes, againMinutes, moved) => {
        const now = after(ageMinutes * minuteMs);
        const sinceAgain = Math.min(againMinutes, ageMinutes);
        const late_from = wallTimeMs(new Date(now.getTime() - sinceAgain * minuteMs));
        const seen = moved ? 'REFUNDED' : 'PENDING_ACCEPT';
        const urgent = [2, 14].includes(scenario);
        const isLate = sinceAgain >= (urgent ? 2 : 23) * 60;
        const isOvertaken = urgent && moved && ageMinutes > 10;
        expect(sendDecision(push(scenario, { late_from }), now, seen)).toBe(
          isLate ? 'too old' : isOvertaken ? 'overtaken' : 'send',
        );
      },
    ),
  );
});

test('what may have been sent is asked again for 23 hours, to the millisecond', () => {
  const late_from = wallTimeMs(after(40 * hourMs));
  const asked = push(8, { late_from, perhaps_sent_at: wallTimeMs(changed) });
  expect(sendDecision(asked, after(23 * hourMs - 1), undefined)).toBe('send');
  expect(sendDecision(asked, after(23 * hourMs), undefined)).toBe('unknown');
});

test('what may have been sent is never withheld: it is sent again, or unknown', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 15 }),
      fc.integer({ min: 0, max: 60 * 60 }),
      fc.integer({ min: 0, max: 60 * 60 }),
      fc.boolean(),
      (scenario, ageMinutes, askedMinutes, moved) => {
        const now = after(ageMinutes * minuteMs);
        const perhaps_sent_at = wallTimeMs(new Date(now.getTime() - askedMinutes * minuteMs));
        const seen = moved ? 'REFUNDED' : 'PENDING_ACCEPT';
        const verdict = sendDecision(push(scenario, { perhaps_sent_at }), now, seen);
        const fresh = sendDecision(push(scenario), now, seen);
        expect(verdict).toBe(fresh === 'send' && askedMinutes < 23 * 60 ? 'send' : 'unknown');
      },
    ),
  );
});

test('sent again by a person, its age counts from then; that its order moved on counts as before', () => {
  const late_from = wallTimeMs(after(72 * hourMs));
  const now = after(73 * hourMs);
  expect(sendDecision(push(8, { late_from }), now, 'REFUNDED')).toBe('send');
  expect(sendDecision(push(14, { late_from }), now, 'PENDING_ACCEPT')).toBe('send');
  expect(sendDecision(push(14, { late_from }), now, 'REFUNDED')).toBe('overtaken');
});
