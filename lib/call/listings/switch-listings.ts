import { type Kysely, sql, type Transaction } from 'kysely';
import { Rejected } from '../../platform/errors.ts';
import { type Deliver, toBus, transactionWithOutbox } from '../../platform/messaging/outbox.ts';
import { inTransaction } from '../../platform/mysql/mysql.ts';
import { type Partner, unlessAway } from '../../platform/partners/partner.ts';
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
import { type Cause, type DesiredState, desiredState, laterOf } from './desired-state.ts';
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

/** What has to be done about an owner's listings, and who does it. */
interface Task extends DesiredState {
  readonly userId: string;
  readonly latest: Cause;
  readonly epoch: number;
  readonly attempts: number;
}

/**
 * Takes an owner's listings offline, or shows them again after a top-up, if money is why they went. The message only
 * adds what it knows to the owner's row; where the listings have to be follows from the row, whatever came first,
 * twice or late.
 */
export async function switchListings(deps: ListingDeps, message: OutOfMoney | ToppedUp) {
  const { mysql, listings, firstSwitchOff, clock } = deps;
  await postponeIfSwitchedOff(firstSwitchOff, 'partner/listing');
  const task = await inTransaction(mysql, (trx) => note(trx, message));
  if (typeof task === 'string') return task;
  const { userId, to, latest } = task;
  const count = await unlessAway(
    task.attempts,
    () => switchListingsTo(listings, userId, task, latest.cause),
    clock,
  );
  const outcome = (await confirm(deps, task)) ? to : 'overtaken';
  return { outcome, userId, paymentId: latest.paymentId, listings: count };
}

async function note(trx: Trx, message: OutOfMoney | ToppedUp): Promise<Task | string> {
  if ('topped_up_at' in message) {
    // What only pays off a debt lets nobody be charged again.
    if (message.balance <= 0) return 'no money yet';
    const row = await lockedRow(trx, message.user_id);
    const at = await happenedAt(trx, message, row.now);
    const before = toppedUpIn(row);
    return await take(trx, row, causeIn(row), before && before > at ? before : at);
  }
  const cause = await causeOf(trx, message);
  const row = await lockedRow(trx, message.userId);
  return await take(trx, row, laterOf(causeIn(row), cause), toppedUpIn(row));
}

/** Undefined where it is later than now: no top-up can be, and it would outdo every charge to come. */
const toppedUpIn = ({ topped_up_at, now }: Row): string | undefined =>
  topped_up_at !== null && topped_up_at <= now ? topped_up_at : undefined;

/**
 * When a top-up happened: no later than when it was first told here, which is kept, so that the same message later
 * says the same.
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

/** As of when the payment centre was asked: a top-up may have come before its answer was known. */
async function causeOf(trx: Trx, { userId, paymentId, why }: OutOfMoney): Promise<Cause> {
  const payment = await trx
    .selectFrom('user_prop_db.sublessor_call_payment_log_201409')
    .select(['user_id', sql<string>`coalesce(sent_at, updated_at)`.as('at')])
    .where('id', '=', paymentId)
    .executeTakeFirst();
  if (payment?.user_id !== userId)
    throw new Rejected(`Payment ${paymentId} is none of owner ${userId}`);
  return { at: payment.at, paymentId, cause: why, endsWithMoney: endsWithMoney[why] };
}

function causeIn({ cause_at: at, cause_payment_id: paymentId, cause }: Row): Cause | undefined {
  if (!at || !paymentId || !cause) return undefined;
  return { at, paymentId, cause, endsWithMoney: endsWithMoney[cause] };
}

/** Writes what is known now, and takes the row in hand if something is to be done; else says why not. */
async function take(
  trx: Trx,
  row: Row,
  latest: Cause | undefined,
  toppedUpAt: string | undefined,
): Promise<Task | string> {
  const known = {
    ...(latest && { cause_at: latest.at, cause_payment_id: latest.paymentId }),
    ...(latest && { cause: latest.cause as OutOfMoney['why'] }),
    ...(toppedUpAt && { topped_up_at: toppedUpAt }),
  };
  const next = desiredState({ latest, toppedUpAt });
  const nothing = nothingToDo(row, next);
  if (!nothing) postponeIfLeased(row, `Listings of ${row.user_id}`);
  const again = row.request_id === next?.requestId;
  const [epoch, attempts] = [row.epoch + 1, again ? row.attempts + 1 : 1];
  const begun = { request_done: 0, held_until: leaseExpiry, epoch, attempts };
  const change = { ...known, ...(!nothing && next && { ...begun, request_id: next.requestId }) };
  if (Object.keys(change).length)
    await trx.updateTable(table).set(change).where('user_id', '=', row.user_id).execute();
  if (nothing || !next || !latest) return nothing ?? 'never went';
  return { ...next, userId: row.user_id, latest, epoch, attempts };
}

/** A request that was begun and not confirmed may have been carried out: then even the opposite has to be asked for. */
function nothingToDo(row: Row, next: DesiredState | undefined): string | undefined {
  if (!next) return 'never went';
  if (Number(row.request_done) === 0) return undefined;
  if (row.request_id === next.requestId) return `${next.to} before`;
  if (next.to === 'online' && row.state === 'online') return 'topped up since';
  return undefined;
}

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
