import fc from 'fast-check';
import { expect, test } from 'vitest';
import { before, type ChargeState, transitions } from '../../lib/call/states.ts';

const states = Object.keys(transitions) as ChargeState[];

test('a charge goes from each state to these, and a final state stands', () => {
  expect(transitions).toEqual({
    intent: ['sent'],
    sent: ['charged', 'refused', 'unknown', 'intent'],
    unknown: ['charged', 'refused', 'sent'],
    charged: [],
    refused: [],
  });
  expect(before('charged')).toEqual(['sent', 'unknown']);
  expect(before('intent')).toEqual(['sent']);
  expect(before('sent')).toEqual(['intent', 'unknown']);
});

test('a state is before another just where the other may follow it', () => {
  fc.assert(
    fc.property(fc.constantFrom(...states), fc.constantFrom(...states), (from, to) => {
      expect(before(to).includes(from)).toBe(transitions[from].includes(to));
    }),
  );
});
