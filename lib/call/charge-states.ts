/**
 * State machine of charges and reversals: the states of a payment log row and the transitions between them.
 */

/** States of a payment log row. `intent`: not sent yet. `unknown`: sent, but the answer was lost. */
export type ChargeState = 'intent' | 'sent' | 'unknown' | 'charged' | 'refused';

/** The states that may follow each state. A final state never changes. Charges and reversals use the same table. */
export const transitions: Readonly<Record<ChargeState, readonly ChargeState[]>> = {
  intent: ['sent'],
  // To `intent` when the payment centre says "try later" (5000): nothing was charged.
  sent: ['charged', 'refused', 'unknown', 'intent'],
  // To `sent` when the payment centre has never seen the id (4004): sent again with the same id and amount.
  unknown: ['charged', 'refused', 'sent'],
  charged: [],
  refused: [],
};

/** Returns the states from which a row may go to `state`; every write has them as its condition. */
export const statesLeadingTo = (state: ChargeState): ChargeState[] =>
  (Object.keys(transitions) as ChargeState[]).filter((from) => transitions[from].includes(state));
