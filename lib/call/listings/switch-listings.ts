/** Switches an owner's listings offline and online as charges and top-ups require. */
import { type Kysely, sql, type Transaction } from 'kysely';
import { Rejected } from '../../platform/errors.ts';
import type { Outcome } from '../../platform/lambda/log.ts';
import { type Deliver, toBus, transactionWithOutbox } from '../../platform/messaging/outbox.ts';
import { inTransaction } from '../../platform/mysql/mysql.ts';
import type { OutcomeWord } from '../../platform/outcomes.ts';
import { type Partner, postponeIfUnavailable } from '../../platform/partners/partner.ts';
import type { AccountingTables } from '../accounting-tables.ts';
import { listingsSwitched } from '../events.ts';
import type { OutOfMoney, ToppedUp } from '../queues.ts';
import {
  type FirstCallSwitchOff,
  isLeased,
  leaseExpiry,
  postponeIfLeased,
  postponeIfSwitchedOff,
} from '../row-lease.ts';
import { type Cause, type DesiredState, desiredState, laterCause } from './desired-state.ts';
import { switchListingsTo } from './listing-service.ts';

export interface ListingDeps {
  readonly mysql: Kysely<AccountingTables>;
  readonly listings: Partner;
  readonly deliver: Deliver;
  readonly firstSwitchOff: FirstCallSwitchOff;
  readonly clock?: () => Date;
}

type Trx = Transaction<AccountingTables>;
type Row = Awaited<ReturnType<typeof lockedRow>>;

const table = 'user_prop_db.sublessor_listings';

/** A leased switch of an owner's listings. `epoch` is the fencing token. */
interface Task extends DesiredState {
  readonly userId: string;
  readonly latest: Cause;
  readonly epoch: number;
  readonly attempts: number;
}

/**
 * Takes an owner's listings offline, or shows them again after a top-up if missing money was the cause. The message only
 * adds its facts to the owner's row. The desired state is computed from the row, so the order and number of the
 * messages do not matter.
 */
export async function switchListings(
  deps: ListingDeps,
  message: OutOfMoney | ToppedUp,
): Promise<Outcome> {
  const { mysql, listings, firstSwitchOff, clock } = deps;
  await postponeIfSwitchedOff(firstSwitchOff, 'partner/listing');
  const task = await inTransaction(mysql, (trx) => recordMessage(trx, message));
  if (typeof task === 'string') return task;
  const { userId, to, latest } = task;
  const count = await postponeIfUnavailable(
    task.attempts,
    () => switchListingsTo(listings, userId, task, latest.cause),
    clock,
  );
  const outcome = (await confirm(deps, task)) ? to : 'fenced-off';
  return { outcome, userId, paymentId: latest.paymentId, listings: count };
}

/** Adds the message's facts to the row and leases it. Returns an outcome if there is nothing to switch. */
async function recordMessage(
  trx: Trx,
  message: OutOfMoney | ToppedUp,
): Promise<Task | OutcomeWord> {
  if ('topped_up_at' in message) {
    // A top-up that only pays off a debt leaves no money for charges.
    if (message.balance <= 0) return 'no-money-yet';
    const row = await lockedRow(trx, message.user_id);
    const at = await happenedAt(trx, message, row.now);
    const before = toppedUpIn(row);
    return await leaseRow(trx, row, causeIn(row), before && before > at ? before : at);
  }
  const cause = await causeOf(trx, message);
  const row = await lockedRow(trx, message.userId);
  return await leaseRow(trx, row, laterCause(causeIn(row), cause), toppedUpIn(row));
}

/** Returns undefined for a time in the future: it would override every charge until then. */
const toppedUpIn = ({ topped_up_at, now }: Row): string | undefined =>
  topped_up_at !== null && topped_up_at <= now ? topped_up_at : undefined;

/**
 * Returns the time of a top-up. A time in the future is replaced by the time of the first delivery, which is stored, so
 * that a repeated delivery gives the same time.
 */
async function happenedAt(
  trx: Trx,
  { user_id, topped_up_at: stamped_at, balance: balance_fen }: ToppedUp,
  now: string,
): Promise<string> {
  const ahead = trx.selectFrom('user_prop_db.sublessor_top_up_ahead').select('received_at');
  const known = await ahead
    .where('user_id', '=', user_id)
    .where('stamped_at', '=', stamped_at)
    .where('balance_fen', '=', String(balance_fen))
    .executeTakeFirst();
  if (known) return known.received_at;
  if (stamped_at <= now) return stamped_at;
  await trx
    .insertInto('user_prop_db.sublessor_top_up_ahead')
    .values({ user_id, stamped_at, balance_fen, received_at: now })
    .execute();
  return now;
}

async function lockedRow(trx: Trx, user_id: string) {
  await trx
    .insertInto(table)
    .values({ user_id })
    .onDuplicateKeyUpdate({ user_id: sql`sublessor_listings.user_id` })
    .execute();
  return await trx
    .selectFrom(table)
    .selectAll()
    .select([isLeased('held_until').as('held'), sql<string>`now()`.as('now')])
    .where('user_id', '=', user_id)
    .executeTakeFirstOrThrow();
}

const endsWithMoney: Readonly<Record<OutOfMoney['why'], boolean>> = {
  'not enough money': true,
  'balance is 0': true,
  'account frozen': false,
  'unknown account': false,
  'reason unknown': false,
};

/** Dates the cause at the time of the request to the payment centre, because a top-up may come before its answer is stored. */
async function causeOf(trx: Trx, { userId, paymentId, why }: OutOfMoney): Promise<Cause> {
  const payment = await trx
    .selectFrom('user_prop_db.sublessor_call_payment_log_201409')
    .select(['user_id', sql<string>`coalesce(sent_at, updated_at)`.as('at')])
    .where('id', '=', paymentId)
    .executeTakeFirst();
  if (payment?.user_id !== userId)
    throw new Rejected(`Payment ${paymentId} does not belong to owner ${userId}`);
  return { at: payment.at, paymentId, cause: why, endsWithMoney: endsWithMoney[why] };
}

function causeIn({ cause_at: at, cause_payment_id: paymentId, cause }: Row): Cause | undefined {
  if (!at || !paymentId || !cause) return undefined;
  return { at, paymentId, cause, endsWithMoney: endsWithMoney[cause] };
}

/** Writes the facts and leases the row. Returns an outcome if there is nothing to switch. */
async function leaseRow(
  trx: Trx,
  row: Row,
  latest: Cause | undefined,
  toppedUpAt: string | undefined,
): Promise<Task | OutcomeWord> {
  const facts = {
    ...(latest && {
      cause_at: latest.at,
      cause_payment_id: latest.paymentId,
      cause: latest.cause as OutOfMoney['why'],
    }),
    ...(toppedUpAt && { topped_up_at: toppedUpAt }),
  };
  const next = desiredState({ latest, toppedUpAt });
  const nothing = nothingToDo(row, next);
  if (!nothing) postponeIfLeased(row, `Listings of ${row.user_id}`);
  const isRepeated = row.request_id === next?.requestId;
  const [epoch, attempts] = [row.epoch + 1, isRepeated ? row.attempts + 1 : 1];
  const lease = { request_done: 0, held_until: leaseExpiry, epoch, attempts };
  const change = { ...facts, ...(!nothing && next && { ...lease, request_id: next.requestId }) };
  if (Object.keys(change).length)
    await trx.updateTable(table).set(change).where('user_id', '=', row.user_id).execute();
  if (nothing || !next || !latest) return nothing ?? 'never-offline';
  return { ...next, userId: row.user_id, latest, epoch, attempts };
}

/** An unconfirmed request may have been carried out, so even the opposite state is then requested. */
function nothingToDo(row: Row, next: DesiredState | undefined): OutcomeWord | undefined {
  if (!next) return 'never-offline';
  if (Number(row.request_done) === 0) return undefined;
  if (row.request_id === next.requestId) return `already-${next.to}`;
  if (next.to === 'online' && row.state === 'online') return 'superseded';
  return undefined;
}

/** Writes the new state and publishes its event. Returns false if another worker has leased the row since. */
async function confirm(deps: ListingDeps, { userId, to, latest, epoch }: Task): Promise<boolean> {
  return await transactionWithOutbox(deps, async (trx, follow) => {
    const row = await lockedRow(trx, userId);
    if (row.epoch !== epoch) return false;
    await trx
      .updateTable(table)
      .set({ state: to, request_done: 1, held_until: null, attempts: 0 })
      .set(row.state === to ? {} : { since: sql<string>`now(3)` })
      .where('user_id', '=', userId)
      .execute();
    if (row.state !== to) {
      const body = { userId, online: to === 'online', paymentId: latest.paymentId };
      follow(toBus(listingsSwitched, body));
    }
    return true;
  });
}
