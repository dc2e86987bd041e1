import type { Insertable } from 'kysely';
import { cutTo } from '../../platform/cut.ts';
import { isId, jsonId } from '../../platform/ids.ts';
import { wallTimeMs } from '../../platform/time.ts';
import type { PushTables } from '../tables.ts';
import { type Scenario, scenarioOf } from './scenarios.ts';

/** A row of the order table before and after one change, as far as a push depends on it. */
export interface OrderChange {
  /** Made from where the change stands in the binlog, so that the same change always has the same. */
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
 * The push that a change causes, as a row, or the word why there is none. Where nobody is there to
 * receive it the row says so from the beginning: support can see why nobody heard.
 */
export function pushFor(row: OrderChange): NewPush | 'no scenario' {
  const scenario = scenarioOf(row.before, row.after, row.by);
  if (!scenario) return 'no scenario';
  const change = { ...row, patient_id: idOf(row.patient_id), nurse_id: idOf(row.nurse_id) };
  const receiver = receiverOf(scenario, change);
  const given = receiver.type === 'patient' ? row.patient_id : row.nurse_id;
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
    ...{ changed_at, late_from: changed_at },
    state: receiver.id === null ? 'no receiver' : 'unsent',
    ...(receiver.id === null && given !== null && { reason: noId(receiver.type, given) }),
  };
}

/** 0, negative, or more than an id can be: nobody. */
const idOf = (id: string | null): string | null => (id !== null && isId(id) ? id : null);

const shownLengthMax = 40;
const noId = (of: string, id: string): string =>
  `"${cutTo(id, shownLengthMax)}" is no id of a ${of}.`;

/** Numbers of the scenarios that are more than their row of the table. */
const paid = 2;
const accepted = 8;

/** An order that was just paid has no nurse yet, as a rule: all who may accept it hear of it. */
function receiverOf(
  { number, receiver }: Scenario,
  { order_id, patient_id, nurse_id }: OrderChange,
): { readonly type: string; readonly id: string | null } {
  if (receiver === 'patient') return { type: receiver, id: patient_id };
  if (number === paid && nurse_id === null) return { type: 'nurse_group', id: order_id };
  return { type: receiver, id: nurse_id };
}

/** Who is told that a nurse has accepted is told which. */
function dataOf({ number }: Scenario, { nurse_id }: OrderChange): string | null {
  if (number !== accepted) return null;
  return JSON.stringify({ nurse_id: nurse_id === null ? null : jsonId(nurse_id) });
}
