/** Makes the push that a change of an order causes. No I/O. */
import type { Insertable } from 'kysely';
import { cutTo } from '../../platform/cut.ts';
import { isId, jsonId } from '../../platform/ids.ts';
import { wallTimeMs } from '../../platform/time.ts';
import type { PushTables } from '../tables.ts';
import { type Scenario, scenarioOf } from './scenarios.ts';

/** The fields of one change of an order row that a push depends on. */
export interface OrderChange {
  /** A hash of the change's position in the binlog, so the same change always has the same id. */
  readonly pushId: string;
  readonly order_id: string;
  readonly patient_id: string | null;
  readonly nurse_id: string | null;
  readonly before: string;
  readonly after: string;
  readonly by: string;
  readonly changedAt: Date;
}

export type NewPush = Insertable<PushTables['push_db.push']>;

/**
 * Returns the push that a change causes, or `no scenario`. A push without a receiver becomes a row in
 * state `no receiver`, so that support can see why nobody was notified.
 */
export function pushFor(row: OrderChange): NewPush | 'no scenario' {
  const scenario = scenarioOf(row.before, row.after, row.by);
  if (!scenario) return 'no scenario';
  const change = { ...row, patient_id: idOf(row.patient_id), nurse_id: idOf(row.nurse_id) };
  const receiver = receiverOf(scenario, change);
  const rawId = receiver.type === 'patient' ? row.patient_id : row.nurse_id;
  const changed_at = wallTimeMs(change.changedAt);
  return {
    push_id: change.pushId,
    order_id: change.order_id,
    scenario: scenario.number,
    receiver_type: receiver.type,
    receiver_id: receiver.id,
    channel: scenario.channel,
    content: scenario.text,
    data: dataOf(scenario, change),
    status_after: change.after,
    changed_at,
    late_from: changed_at,
    state: receiver.id === null ? 'no receiver' : 'unsent',
    ...(receiver.id === null && rawId !== null && { reason: invalidId(receiver.type, rawId) }),
  };
}

/** Returns null for 0, negative numbers and values beyond the range of ids: they name nobody. */
const idOf = (id: string | null): string | null => (id !== null && isId(id) ? id : null);

const shownLengthMax = 40;
const invalidId = (of: string, id: string): string =>
  `"${cutTo(id, shownLengthMax)}" is not a valid ${of} id.`;

/** Numbers of the scenarios that have a rule outside the table of scenarios. */
const paidScenario = 2;
const acceptedScenario = 8;

/** Returns the receiver. A paid order usually has no nurse yet: then all nurses who may accept it are notified. */
function receiverOf(
  { number, receiver }: Scenario,
  { order_id, patient_id, nurse_id }: OrderChange,
): { readonly type: string; readonly id: string | null } {
  if (receiver === 'patient') return { type: receiver, id: patient_id };
  if (number === paidScenario && nurse_id === null) return { type: 'nurse_group', id: order_id };
  return { type: receiver, id: nurse_id };
}

/** Returns the extra data of a push: for an accepted order the id of the nurse. */
function dataOf({ number }: Scenario, { nurse_id }: OrderChange): string | null {
  if (number !== acceptedScenario) return null;
  return JSON.stringify({ nurse_id: nurse_id === null ? null : jsonId(nurse_id) });
}
