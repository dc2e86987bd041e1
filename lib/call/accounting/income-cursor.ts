import { type Kysely, sql, type Transaction } from 'kysely';
import { cutTo } from '../../platform/cut.ts';
import type { AccountingTables } from '../accounting-tables.ts';
import { transitions } from '../charge-states.ts';

type Trx = Transaction<AccountingTables>;

/**
 * Ids are given before the commit. A row this old has been overtaken by none with a lower id that is still to come: no
 * transaction of ours stays open for so long. A row stamped later than now came by an import.
 */
const commitSecondsMax = 600;
const log = 'sublessor_call_payment_log_201409';
const payments = `user_prop_db.${log}` as const;
const income = 'user_prop_db.sublessor_accounting_income_201409';
const open = 'user_prop_db.sublessor_income_open';
const whyLengthMax = 500;

/**
 * How far the payment log has been posted: all up to `cursor` is posted or can never be, but for the payments that are
 * remembered in sublessor_income_open. `passed` are those that are still to be written there, with the reason where
 * posting failed.
 */
export interface IncomeCursor {
  cursor: string;
  readonly passed: Map<string, string | null>;
  /** Up to where it is written. */
  keptTo: string;
}

/** Moves on in memory; `why` undefined: the payment has ended. */
export function passCharge(place: IncomeCursor, id: string, why: string | null | undefined): void {
  place.cursor = id;
  if (why !== undefined) place.passed.set(id, why);
}

/** Notes that the place up to `cursor` is written. */
export function endPage(place: IncomeCursor, cursor: string): void {
  place.keptTo = cursor;
  place.passed.clear();
}

export async function readIncomeCursor(mysql: Kysely<AccountingTables>): Promise<IncomeCursor> {
  const row = await mysql
    .selectFrom('user_prop_db.sublessor_income_cursor')
    .select('posted_to')
    .where('log', '=', log)
    .executeTakeFirst();
  const cursor = row?.posted_to ?? '0';
  return { cursor, passed: new Map(), keptTo: cursor };
}

/** Moves the cursor, never back, and remembers what it passes. */
export async function writeIncomeCursor(
  trx: Trx,
  { cursor, passed }: Pick<IncomeCursor, 'cursor' | 'passed'>,
): Promise<void> {
  if (passed.size)
    await trx
      .insertInto(open)
      .ignore()
      .values(Array.from(passed, ([payment_id, why]) => ({ payment_id, ...tried(why) })))
      .execute();
  await trx
    .insertInto('user_prop_db.sublessor_income_cursor')
    .values({ log, posted_to: cursor })
    .onDuplicateKeyUpdate({ posted_to: sql`greatest(posted_to, values(posted_to))` })
    .execute();
}

/** Remembers payments that the cursor may have passed already, to be posted by the next run. */
export async function rememberOpenCharges(trx: Trx, ids: readonly string[]): Promise<void> {
  if (!ids.length) return;
  const rows = ids.map((payment_id) => ({ payment_id, ...tried(null) }));
  await trx.insertInto(open).ignore().values(rows).execute();
}

const tried = (why: string | null) => ({
  why: why === null ? null : cutTo(why, whyLengthMax),
  tried_at: why === null ? null : sql<string>`now(3)`,
});

/** Payments that are posted, or refused, are remembered no longer. */
export async function forgetOpenCharges(trx: Trx, ids: readonly string[]): Promise<void> {
  if (ids.length) await trx.deleteFrom(open).where('payment_id', 'in', ids).execute();
}

export async function rememberFailure(
  mysql: Kysely<AccountingTables>,
  payment_id: string,
  why: string,
): Promise<void> {
  await mysql.updateTable(open).set(tried(why)).where('payment_id', '=', payment_id).execute();
}

const finalStates = (Object.keys(transitions) as (keyof typeof transitions)[]).filter(
  (state) => !transitions[state].length,
);

const isPosted = sql<number | string>`exists (select 1 from ${sql.table(income)} income
  where income.payment_id = payment.id)`;

const isOld = sql<number | string>`payment.created_at not between
  now(3) - interval ${sql.lit(commitSecondsMax)} second
  and now(3) + interval ${sql.lit(commitSecondsMax)} second`;

/** The next rows of the payment log. `old`: the cursor may pass them. */
export const pageAfter = (mysql: Kysely<AccountingTables>, id: string, limit: number) =>
  mysql
    .selectFrom(`${payments} as payment`)
    .select(['payment.id', 'payment.user_id', 'payment.amount_fen', 'payment.reverses_id'])
    .select(['payment.state', isOld.as('old'), isPosted.as('posted')])
    .where('payment.id', '>', id)
    .orderBy('payment.id')
    .limit(limit)
    .execute();

export type Row = Awaited<ReturnType<typeof pageAfter>>[number];

/** Remembered payments that are final by now, in the order of their ids; none that could not be posted before. */
export const finalPageAfter = (mysql: Kysely<AccountingTables>, id: string, limit: number) =>
  remembered(mysql)
    .where('open.why', 'is', null)
    .where('payment.state', 'in', finalStates)
    .where('open.payment_id', '>', id)
    .orderBy('open.payment_id')
    .limit(limit)
    .execute();

/** Remembered payments that could not be posted, the one first whose last attempt is the oldest. */
export const failedPage = (mysql: Kysely<AccountingTables>, limit: number) =>
  remembered(mysql)
    .where('open.why', 'is not', null)
    .orderBy('open.tried_at')
    .limit(limit)
    .execute();

/** From the few that are remembered, in their order: the payment log is never scanned for them. */
const remembered = (mysql: Kysely<AccountingTables>) =>
  mysql
    .selectFrom(`${open} as open`)
    .modifyFront(sql`straight_join`)
    .innerJoin(`${payments} as payment`, 'payment.id', 'open.payment_id')
    .select(['payment.id', 'payment.user_id', 'payment.amount_fen', 'payment.reverses_id'])
    .select(['payment.state', sql<number | string>`1`.as('old'), isPosted.as('posted')]);
