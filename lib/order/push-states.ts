/**
 * The states of a push and their transitions:
 *
 * | from      | to                                                                     |
 * | --------- | ---------------------------------------------------------------------- |
 * | `unsent`  | `in hand`; or `too old`, `overtaken`, `unknown` instead of being sent  |
 * | `in hand` | `sent`, `refused`, `unsent`; `in hand` again when the lease has expired |
 * | `refused`, `unknown` | `unsent`, by a person                                       |
 *
 * - `in hand`: leased by a worker until `in_hand_until`; `epoch` is the fencing token
 * - `unknown`: it may have been sent, and it is too late to repeat it with the same id
 * - `refused`: the push service does not accept this push, however often it is sent
 * - `too old`, `overtaken`: dropped, because it is of no use any more
 * - `no receiver`: the change has nobody to notify
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

/** States in which a push blocks the later pushes of its order. */
export const openStates = ['unsent', 'in hand'] as const satisfies PushState[];

/** States from which a person may have a push sent again. */
export const resendable = ['refused', 'unknown'] as const satisfies PushState[];
