/**
 * What may become of a push, and from where:
 *
 * | from      | to                                                                     |
 * | --------- | ---------------------------------------------------------------------- |
 * | `unsent`  | `in hand`, or `too old`, `overtaken`, `unknown` when its turn has come |
 * | `in hand` | `sent`, `refused`, `unsent` again; `in hand` of another when time is up|
 * | `refused`, `unknown` | `unsent`, by a person                                       |
 *
 * - `unknown`: it may have been sent, and it is too late to ask again with the same id
 * - `refused`: the push service will never take it as it is
 * - `too old`, `overtaken`: withheld, nobody would want it any more
 * - `no receiver`: there was nobody to hear of it
 */
export type PushState =
  | 'unsent'
  | 'in hand'
  | 'sent'
  | 'unknown'
  | 'refused'
  | 'too old'
  | 'overtaken'
  | 'no receiver';

/** Pushes that keep the later ones of their order waiting. */
export const openStates = ['unsent', 'in hand'] as const satisfies PushState[];

/** From these a person may have a push sent again. */
export const resendable = ['refused', 'unknown'] as const satisfies PushState[];
