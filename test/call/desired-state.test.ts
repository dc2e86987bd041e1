import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type Cause,
  desiredState,
  type ListingInputs,
  laterCause,
} from '../../lib/call/listings/desired-state.ts';

const at = (second: number) => `2026-11-20 10:00:${String(second).padStart(2, '0')}.000`;
const broke = (second: number, paymentId: string): Cause => ({
  at: at(second),
  paymentId,
  cause: 'used up',
  endsWithMoney: true,
});
const frozen = (second: number, paymentId: string): Cause => ({
  at: at(second),
  paymentId,
  cause: 'frozen',
  endsWithMoney: false,
});

test('a top-up counts unless it is older than the cause, and only where money was missing', () => {
  const to = (latest: Cause, second?: number) =>
    desiredState({ latest, toppedUpAt: second === undefined ? undefined : at(second) });
  expect(to(broke(5, '1'))).toEqual({ to: 'offline', requestId: 'offline-1' });
  expect(to(broke(5, '1'), 4)).toEqual({ to: 'offline', requestId: 'offline-1' });
  // Top-ups have whole seconds: within the same one they are taken for the later of the two.
  expect(to(broke(5, '1'), 5)).toEqual({ to: 'online', requestId: 'online-1' });
  const late = { ...broke(5, '1'), at: at(5).replace('.000', '.999') };
  expect(to(late, 5)).toEqual({ to: 'online', requestId: 'online-1' });
  expect(to(late, 4)).toEqual({ to: 'offline', requestId: 'offline-1' });
  expect(to(broke(5, '1'), 6)).toEqual({ to: 'online', requestId: 'online-1' });
  expect(to(frozen(5, '1'), 6)).toEqual({ to: 'offline', requestId: 'offline-1' });
  expect(desiredState({ latest: undefined, toppedUpAt: at(6) })).toBeUndefined();
});

const cause = fc
  .tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 1, max: 30 }), fc.boolean())
  .map(([second, id, money]) => (money ? broke : frozen)(second, String(id)));
const causes = fc.uniqueArray(cause, { selector: ({ paymentId }) => paymentId, minLength: 1 });

test.each([
  ['the later', broke(2, '820000000001'), broke(1, '820000000009')],
  [
    'of two at one time that of the later charge',
    frozen(1, '820000000010'),
    broke(1, '820000000009'),
  ],
  ['the later charge by number, not as text', broke(1, '1000000000000'), frozen(1, '999999999999')],
])('of two causes %s is the latest, whichever is told first', (_, later, earlier) => {
  expect(laterCause(undefined, earlier)).toBe(earlier);
  expect(laterCause(earlier, later)).toBe(later);
  expect(laterCause(later, earlier)).toBe(later);
});

test('in any order, and twice, causes leave the same standing', () => {
  const last = (order: readonly Cause[]) =>
    order.reduce<Cause | undefined>((latest, one) => laterCause(latest, one), undefined);
  fc.assert(
    fc.property(
      causes.chain((all) =>
        fc.tuple(
          fc.constant(all),
          fc.shuffledSubarray([...all, ...all], { minLength: all.length * 2 }),
        ),
      ),
      fc.option(fc.integer({ min: 0, max: 9 }), { nil: undefined }),
      ([all, shuffled], second) => {
        const toppedUpAt = second === undefined ? undefined : at(second);
        const standing = (latest: Cause | undefined): ListingInputs => ({ latest, toppedUpAt });
        expect(desiredState(standing(last(shuffled)))).toEqual(desiredState(standing(last(all))));
      },
    ),
  );
});
