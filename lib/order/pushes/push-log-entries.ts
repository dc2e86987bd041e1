import { jsonId } from '../../platform/ids.ts';
import { scenarioByNumber } from './scenarios.ts';

type Id = number | string | null;

/** Who was reached; a group of nurses has no id of a nurse. */
type Receiver = { readonly userId: Id } | { readonly nurseId: Id };

interface Received {
  readonly receiver_type: string;
  readonly receiver_id: string | null;
  readonly scenario: number;
}

/** What is logged of a push that was sent, in just these words and in this order. */
export type Success = Receiver & { readonly operate: string; readonly successTime: string };

export const successOf = (push: Received, successTime: string): Success => ({
  ...receiverOf(push),
  operate: scenarioByNumber(push.scenario).name,
  successTime,
});

/** The same of one that was not. */
export const failureOf = (push: Received, failureTime: string, reason: string) => ({
  ...receiverOf(push),
  operate: scenarioByNumber(push.scenario).name,
  ...{ failureTime, reason },
});

function receiverOf({ receiver_type, receiver_id }: Received): Receiver {
  const id = receiver_id === null ? null : jsonId(receiver_id);
  if (receiver_type === 'patient') return { userId: id };
  return { nurseId: receiver_type === 'nurse' ? id : null };
}
