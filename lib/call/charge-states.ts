/** What a row of the payment log can be. `intent` has not been sent, of `unknown` the answer was lost. */
export type ChargeState = 'intent' | 'sent' | 'unknown' | 'charged' | 'refused';

/**
 * The charge's state machine: from each state the ones it may go to. The first final state stands. A charge and a
 * reversal go the same way.
 */
export const transitions: Readonly<Record<ChargeState, readonly ChargeState[]>> = {
  intent: ['sent'],
  // `intent`: the payment centre said "try later" (5000), so nothing was charged.
  sent: ['charged', 'refused', 'unknown', 'intent'],
  // `sent`: the payment centre has never seen it (4004), and it goes out again with the same id and amount.
  unknown: ['charged', 'refused', 'sent'],
  charged: [],
  refused: [],
};

/** The states from which a row may go to `state`: the condition of every write. */
export const statesLeadingTo = (state: ChargeState): ChargeState[] =>
  (Object.keys(transitions) as ChargeState[]).filter((from) => transitions[from].includes(state));
