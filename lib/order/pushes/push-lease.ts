/** Leases the next open push of an order, and records the result of a leased push. */
import { type Kysely, type Selectable, sql, type Transaction } from 'kysely';
import { Postponed } from '../../platform/errors.ts';
import { inTransaction } from '../../platform/mysql/mysql.ts';
import type { FirstSwitchOff } from '../../platform/operations/switches.ts';
import { dateOf } from '../../platform/time.ts';
import { openStates, type PushState } from '../push-states.ts';
import type { OrderSwitch } from '../switches.ts';
import type { PushTables } from '../tables.ts';
import { sendDecision } from './push-expiry.ts';
import { logFailure } from './push-log.ts';
import { scenarioByNumber } from './scenarios.ts';
import { scenarioSwitch, singerSwitch } from './switch-names.ts';

export type Push = Selectable<PushTables['push_db.push']>;

/** Longer than a request to the push service and the transactions around it may take. */
export const leaseSeconds = 20;

/** A push that this worker has leased. */
export interface LeasedPush {
  readonly state: 'in hand';
  readonly push: Push;
  readonly fencingToken: number;
  /** Attempts to send the push, including this one. */
  readonly attempts: number;
  /** When the lease began, by the database's clock. */
  readonly now: string;
}

/** A push that was ended instead of being sent. */
interface ExpiredPush {
  readonly state: 'too old' | 'overtaken' | 'unknown';
  readonly push: Push;
}

export interface PushLeaseDeps {
  readonly mysql: Kysely<PushTables>;
  readonly firstSwitchOff: FirstSwitchOff<OrderSwitch>;
}

/**
 * Leases the first open push of an order, or ends it if it is too late to send it. Returns `changed`
 * if another worker ended the push in the meantime. Throws `Postponed` if another worker holds its
 * lease, or a kill switch is off.
 */
export async function leaseNextPush(
  { mysql, firstSwitchOff }: PushLeaseDeps,
  order_id: string,
): Promise<LeasedPush | ExpiredPush | 'changed' | 'none left'> {
  const first = await firstOpenPush(mysql, order_id);
  if (!first) return 'none left';
  throwIfLeased(first);
  const off = await firstSwitchOff(singerSwitch, scenarioSwitch(first.scenario));
  if (off) throw new Postponed(dateOf(first.now), `${off} is off`, { heldBy: off });
  return await inTransaction(mysql, (trx) => leasePush(trx, first.push_id));
}

const databaseNow = sql<string>`now(3)`.as('now');

async function firstOpenPush(mysql: Kysely<PushTables>, order_id: string) {
  return await mysql
    .selectFrom('push_db.push')
    .select(['push_id', 'scenario', 'state', 'in_hand_until', databaseNow])
    .where('order_id', '=', order_id)
    .where('state', 'in', openStates)
    .orderBy('sequence')
    .limit(1)
    .executeTakeFirst();
}

interface LeaseState {
  readonly push_id: string;
  readonly state: PushState;
  readonly in_hand_until: string | null;
  readonly now: string;
}

function throwIfLeased({ push_id, state, in_hand_until, now }: LeaseState): void {
  if (state === 'in hand' && in_hand_until !== null && in_hand_until > now)
    throw new Postponed(
      dateOf(in_hand_until),
      `Another worker holds the lease of push ${push_id}.`,
    );
}

async function leasePush(
  trx: Transaction<PushTables>,
  push_id: string,
): Promise<LeasedPush | ExpiredPush | 'changed'> {
  const { now, ...push } = await trx
    .selectFrom('push_db.push')
    .selectAll()
    .select(databaseNow)
    .where('push_id', '=', push_id)
    .forUpdate()
    .executeTakeFirstOrThrow();
  if (push.state !== 'unsent' && push.state !== 'in hand') return 'changed';
  throwIfLeased({ ...push, now });
  const decision = sendDecision(push, dateOf(now), await lastStatusOf(trx, push));
  if (decision !== 'send') {
    await endPush(trx, push, decision, now);
    return { state: decision, push };
  }
  const fencingToken = push.epoch + 1;
  const attempts = push.attempts + 1;
  await trx
    .updateTable('push_db.push')
    .set({
      state: 'in hand',
      epoch: fencingToken,
      attempts,
      in_hand_until: sql<string>`now(3) + interval ${leaseSeconds} second`,
      // Set before sending, so that after a crash we still know that it may have been sent.
      perhaps_sent_at: push.perhaps_sent_at ?? now,
    })
    .where('push_id', '=', push_id)
    .execute();
  return { state: 'in hand', push, fencingToken, attempts, now };
}

/** Returns the last known status of the push's order. Only urgent pushes depend on it. */
async function lastStatusOf(
  trx: Transaction<PushTables>,
  { order_id, scenario }: Push,
): Promise<string | undefined> {
  if (!scenarioByNumber(scenario).urgent) return undefined;
  const row = await trx
    .selectFrom('push_db.order_seen')
    .select('status')
    .where('order_id', '=', order_id)
    .executeTakeFirst();
  return row?.status;
}

const reasons = {
  'too old': 'The change is too long ago for the push to be of use.',
  overtaken: 'The order has changed status since.',
  unknown: 'It may have been sent; it is too late to repeat it with the same id.',
} as const;

async function endPush(
  trx: Transaction<PushTables>,
  push: Push,
  state: keyof typeof reasons,
  now: string,
): Promise<void> {
  const reason = reasons[state];
  await trx
    .updateTable('push_db.push')
    .set({ state, reason, in_hand_until: null })
    .where('push_id', '=', push.push_id)
    .execute();
  await logFailure(trx, push, state, now, reason);
}

/** The columns that a result sets. */
type PushResult = Partial<Pick<Push, 'state' | 'reason' | 'message_id' | 'perhaps_sent_at'>>;

/**
 * Records the result of a leased push and returns the time by the database's clock. Returns undefined
 * if the lease has expired and another worker has acquired it.
 */
export async function recordResult(
  trx: Transaction<PushTables>,
  { push: { push_id }, fencingToken }: LeasedPush,
  result: PushResult,
): Promise<string | undefined> {
  const { numUpdatedRows } = await trx
    .updateTable('push_db.push')
    .set({ ...result, in_hand_until: null })
    .where('push_id', '=', push_id)
    .where('epoch', '=', fencingToken)
    .where('state', '=', 'in hand')
    .executeTakeFirst();
  if (!numUpdatedRows) return undefined;
  const { rows } = await sql<{ now: string }>`select now(3) now`.execute(trx);
  return rows[0]?.now;
}
