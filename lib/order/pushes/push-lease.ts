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

/** More than the call of the push service may take, and what is done before and after it. */
export const leaseSeconds = 20;

/** A push in the hand of this worker. */
export interface LeasedPush {
  readonly state: 'in hand';
  readonly push: Push;
  readonly epoch: number;
  /** This one counted. */
  readonly attempts: number;
  /** When it was taken, by the database's clock. */
  readonly now: string;
}

/** A push whose turn came too late. */
interface ExpiredPush {
  readonly state: 'too old' | 'overtaken' | 'unknown';
  readonly push: Push;
}

export interface PushLeaseDeps {
  readonly mysql: Kysely<PushTables>;
  /** The kill switches, as `switches` of the platform gives them. */
  readonly firstSwitchOff: FirstSwitchOff<OrderSwitch>;
}

/**
 * Takes the first of an order's pushes that has not ended into this worker's hand, or ends it where
 * it is too late for it; `changed` where another was faster. Throws `Postponed` while another has
 * it in hand, or a switch is off.
 */
export async function leaseNextPush(
  { mysql, firstSwitchOff }: PushLeaseDeps,
  order_id: string,
): Promise<LeasedPush | ExpiredPush | 'changed' | 'none left'> {
  const first = await firstOf(mysql, order_id);
  if (!first) return 'none left';
  throwIfLeased(first);
  const off = await firstSwitchOff(singerSwitch, scenarioSwitch(first.scenario));
  if (off) throw new Postponed(dateOf(first.now), `${off} is off`, { heldBy: off });
  return await inTransaction(mysql, (trx) => leasePush(trx, first.push_id));
}

const databaseNow = sql<string>`now(3)`.as('now');

async function firstOf(mysql: Kysely<PushTables>, order_id: string) {
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
    throw new Postponed(dateOf(in_hand_until), `Push ${push_id} is in another's hand.`);
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
  const verdict = sendDecision(push, dateOf(now), await lastStatusOf(trx, push));
  if (verdict !== 'send') {
    await endPush(trx, push, verdict, now);
    return { state: verdict, push };
  }
  const [epoch, attempts] = [push.epoch + 1, push.attempts + 1];
  await trx
    .updateTable('push_db.push')
    .set({
      state: 'in hand',
      ...{ epoch, attempts },
      in_hand_until: sql<string>`now(3) + interval ${leaseSeconds} second`,
      // Before it is sent: who dies after that leaves behind that it may have been.
      perhaps_sent_at: push.perhaps_sent_at ?? now,
    })
    .where('push_id', '=', push_id)
    .execute();
  return { state: 'in hand', push, epoch, attempts, now };
}

/** The last status of the push's order that was seen; only of an urgent one does it matter. */
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
  'too old': 'Nobody wants it so long after the change.',
  overtaken: 'The order has moved on since.',
  unknown: 'It may have been sent; it is too late to ask again.',
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

/** What is written of a push that was in hand. */
type PushResult = Partial<Pick<Push, 'state' | 'reason' | 'message_id' | 'perhaps_sent_at'>>;

/**
 * Writes what became of a push in hand, and returns the time by the database's clock; undefined
 * where its time was over and another has taken it.
 */
export async function recordResult(
  trx: Transaction<PushTables>,
  { push: { push_id }, epoch }: LeasedPush,
  written: PushResult,
): Promise<string | undefined> {
  const { numUpdatedRows } = await trx
    .updateTable('push_db.push')
    .set({ ...written, in_hand_until: null })
    .where('push_id', '=', push_id)
    .where('epoch', '=', epoch)
    .where('state', '=', 'in hand')
    .executeTakeFirst();
  if (!numUpdatedRows) return undefined;
  const { rows } = await sql<{ now: string }>`select now(3) now`.execute(trx);
  return rows[0]?.now;
}
