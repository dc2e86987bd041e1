/** The JSON entries of the push log. No I/O. */
import { jsonId } from '../../platform/ids.ts';
import { scenarioByNumber } from './scenarios.ts';

type Id = number | string | null;

/** The receiver as it is logged; a group of nurses has `nurseId` null. */
type Receiver = { readonly userId: Id } | { readonly nurseId: Id };

interface PushFields {
  readonly receiver_type: string;
  readonly receiver_id: string | null;
  readonly scenario: number;
}

/** The log entry of a push that was sent. Names and order of the fields are required by its readers. */
export type Success = Receiver & { readonly operate: string; readonly successTime: string };

export const successOf = (push: PushFields, successTime: string): Success => ({
  ...receiverOf(push),
  operate: scenarioByNumber(push.scenario).name,
  successTime,
});

/** Returns the log entry of a push that was not sent. */
export const failureOf = (push: PushFields, failureTime: string, reason: string) => ({
  ...receiverOf(push),
  operate: scenarioByNumber(push.scenario).name,
  failureTime,
  reason,
});

function receiverOf({ receiver_type, receiver_id }: PushFields): Receiver {
  const id = receiver_id === null ? null : jsonId(receiver_id);
  if (receiver_type === 'patient') return { userId: id };
  return { nurseId: receiver_type === 'nurse' ? id : null };
}
