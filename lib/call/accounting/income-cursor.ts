/** Stores how far the payment log is posted, and the charges before that position that are still open. */
import { type Kysely, sql, type Transaction } from 'kysely';
import { cutTo } from '../../platform/cut.ts';
import type { AccountingTables } from '../accounting-tables.ts';
import { transitions } from '../charge-states.ts';

type Trx = Transaction<AccountingTables>;

/**
 * MySQL assigns ids before the commit, so a row with a lower id may become visible later. Once a row is this old no
 * lower id can follow, because no transaction stays open longer. Rows with a future time come from an import.
 */
const commitSecondsMax = 600;
const log = 'sublessor_call_payment_log_201409';
const payments = `user_prop_db.${log}` as const;
const income = 'user_prop_db.sublessor_accounting_income_201409';
const open = 'user_prop_db.sublessor_income_open';
const whyLengthMax = 500;

/**
 * The position in the payment log. Every payment up to `cursor` is posted or refused, or has a row in
 * sublessor_income_open. `passed` holds payments whose rows there are not written yet, with the reason if posting failed.
 */
export interface IncomeCursor {
  cursor: string;
  readonly passed: Map<string, string | null>;
  /** The cursor that the database has. */
  storedCursor: string;
}

/** Moves the cursor in memory. `why` is undefined if the payment is posted or refused. */
export function passCharge(
  position: IncomeCursor,
  id: string,
  why: string | null | undefined,
): void {
  position.cursor = id;
  if (why !== undefined) position.passed.set(id, why);
}

/** Records that the database has the cursor. */
export function markAsWritten(position: IncomeCursor, cursor: string): void {
  position.storedCursor = cursor;
  position.passed.clear();
}

export async function readIncomeCursor(mysql: Kysely<AccountingTables>): Promise<IncomeCursor> {
  const row = await mysql
    .selectFrom('user_prop_db.sublessor_income_cursor')
    .select('posted_to')
    .where('log', '=', log)
    .executeTakeFirst();
  const cursor = row?.posted_to ?? '0';
  return { cursor, passed: new Map(), storedCursor: cursor };
}

/** Writes the cursor, which never moves backwards, and the open payments that it passes. */
export async function writeIncomeCursor(
  trx: Trx,
  { cursor, passed }: Pick<IncomeCursor, 'cursor' | 'passed'>,
): Promise<void> {
  if (passed.size)
    await trx
      .insertInto(open)
      .ignore()
      .values(Array.from(passed, ([payment_id, why]) => ({ payment_id, ...attemptColumns(why) })))
      .execute();
  await trx
    .insertInto('user_prop_db.sublessor_income_cursor')
    .values({ log, posted_to: cursor })
    .onDuplicateKeyUpdate({ posted_to: sql`greatest(posted_to, values(posted_to))` })
    .execute();
}

/** Stores payments that the cursor may have passed, so that the next run posts them. */
export async function rememberOpenCharges(trx: Trx, ids: readonly string[]): Promise<void> {
  if (!ids.length) return;
  const rows = ids.map((payment_id) => ({ payment_id, ...attemptColumns(null) }));
  await trx.insertInto(open).ignore().values(rows).execute();
}

const attemptColumns = (why: string | null) => ({
  why: why === null ? null : cutTo(why, whyLengthMax),
  tried_at: why === null ? null : sql<string>`now(3)`,
});

/** Deletes the rows of open payments that are now posted or refused. */
export async function forgetOpenCharges(trx: Trx, ids: readonly string[]): Promise<void> {
  if (ids.length) await trx.deleteFrom(open).where('payment_id', 'in', ids).execute();
}

export async function rememberFailure(
  mysql: Kysely<AccountingTables>,
  payment_id: string,
  why: string,
): Promise<void> {
  await mysql
    .updateTable(open)
    .set(attemptColumns(why))
    .where('payment_id', '=', payment_id)
    .execute();
}

const finalStates = (Object.keys(transitions) as (keyof typeof transitions)[]).filter(
  (state) => !transitions[state].length,
);

const isPosted = sql<number | string>`exists (select 1 from ${sql.table(income)} income
  where income.payment_id = payment.id)`;

const isOld = sql<number | string>`payment.created_at not between
  now(3) - interval ${sql.lit(commitSecondsMax)} second
  and now(3) + interval ${sql.lit(commitSecondsMax)} second`;

/** Returns the next rows of the payment log. The cursor may pass rows that are `old`. */
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

/** Returns open payments that have their final result, in the order of their ids, without those whose posting failed. */
export const finalPageAfter = (mysql: Kysely<AccountingTables>, id: string, limit: number) =>
  selectOpenCharges(mysql)
    .where('open.why', 'is', null)
    .where('payment.state', 'in', finalStates)
    .where('open.payment_id', '>', id)
    .orderBy('open.payment_id')
    .limit(limit)
    .execute();

/** Returns open payments whose posting failed, the oldest last attempt first. */
export const failedPage = (mysql: Kysely<AccountingTables>, limit: number) =>
  selectOpenCharges(mysql)
    .where('open.why', 'is not', null)
    .orderBy('open.tried_at')
    .limit(limit)
    .execute();

/** Selects open payments. The join starts from sublessor_income_open, which is small, so the payment log is not scanned. */
const selectOpenCharges = (mysql: Kysely<AccountingTables>) =>
  mysql
    .selectFrom(`${open} as open`)
    .modifyFront(sql`straight_join`)
    .innerJoin(`${payments} as payment`, 'payment.id', 'open.payment_id')
    .select(['payment.id', 'payment.user_id', 'payment.amount_fen', 'payment.reverses_id'])
    .select(['payment.state', sql<number | string>`1`.as('old'), isPosted.as('posted')]);
