import { type Kysely, sql, type Transaction } from 'kysely';
import { type Claim, claim, underClaim } from '../platform/claim.ts';
import { inTransaction } from '../platform/mysql.ts';
import type { Tick } from '../platform/schedule.ts';
import type { AccountingTables } from './accounting-tables.ts';
import { lockAccount, type Payment, post } from './accounts.ts';
import type { CallSettings } from './settings.ts';
import { transitions } from './states.ts';

interface IncomeDeps {
  readonly mysql: Kysely<AccountingTables>;
  readonly settings: () => Promise<Pick<CallSettings, 'pageRowsMax'>>;
}

const claimName = 'call/post-income';
/** Longer than the function may run: nobody takes over from one that is still at it. */
const leaseSeconds = 120;
/** With less than this left nothing more is begun. */
const endMs = 5_000;
/**
 * Ids are given before the commit. A row this old has been overtaken by none with a lower id that is still to come: no
 * transaction of ours stays open for so long.
 */
const commitSecondsMax = 600;
const log = 'sublessor_call_payment_log_201409';
const payments = `user_prop_db.${log}` as const;
const income = 'user_prop_db.sublessor_accounting_income_201409';

/**
 * Posts every charge that has no income yet, in the order of the charges. The cursor stands at the highest id up to
 * which all is final and posted, so a charge that is settled weeks later is still above it. Income, balances and
 * cursor are one transaction for each charge.
 */
export async function postIncome(
  { mysql, settings }: IncomeDeps,
  { remaining }: Pick<Tick, 'remaining'>,
) {
  const claimed = await claim(mysql, claimName, leaseSeconds);
  if (!claimed) return { outcome: 'another posts', posted: 0 };
  try {
    const { pageRowsMax } = await settings();
    return await run(mysql, claimed, pageRowsMax, remaining);
  } finally {
    await claimed.release();
  }
}

async function run(
  mysql: Kysely<AccountingTables>,
  claimed: Claim,
  pageRowsMax: number,
  remaining: () => number,
) {
  let cursor = await cursorOf(mysql);
  const kept = cursor;
  let [after, unbroken, posted] = [cursor, true, 0];
  while (remaining() > endMs) {
    const rows = await pageAfter(mysql, after, pageRowsMax);
    for (const row of rows) {
      unbroken &&= Number(row.settled) === 1;
      if (row.state === 'charged' && Number(row.posted) === 0) {
        if (remaining() <= endMs) return { outcome: 'out of time', posted };
        if (await postOne(mysql, claimed, row, unbroken ? row.id : cursor)) posted += 1;
      }
      if (unbroken) cursor = row.id;
      after = row.id;
    }
    if (rows.length === pageRowsMax) continue;
    if (cursor !== kept) await moveCursor(mysql, claimed, cursor);
    return { outcome: posted ? 'posted' : 'nothing new', posted };
  }
  return { outcome: 'out of time', posted };
}

async function cursorOf(mysql: Kysely<AccountingTables>): Promise<string> {
  const row = await mysql
    .selectFrom('user_prop_db.sublessor_income_cursor')
    .select('posted_to')
    .where('log', '=', log)
    .executeTakeFirst();
  return row?.posted_to ?? '0';
}

const finalStates = (Object.keys(transitions) as (keyof typeof transitions)[]).filter(
  (state) => !transitions[state].length,
);

/** `settled`: final, and old enough for the cursor to stand on. */
const pageAfter = (mysql: Kysely<AccountingTables>, id: string, limit: number) =>
  mysql
    .selectFrom(`${payments} as payment`)
    .select(['payment.id', 'payment.user_id', 'payment.amount_fen', 'payment.reverses_id'])
    .select('payment.state')
    .select([
      sql<number | string>`payment.state in (${sql.join(finalStates)})
        and payment.created_at < now(3) - interval ${commitSecondsMax} second`.as('settled'),
      sql<number | string>`exists (select 1 from ${sql.table(income)} income
        where income.payment_id = payment.id)`.as('posted'),
    ])
    .where('payment.id', '>', id)
    .orderBy('payment.id')
    .limit(limit)
    .execute();

async function postOne(
  mysql: Kysely<AccountingTables>,
  claimed: Claim,
  payment: Payment,
  cursor: string,
): Promise<boolean> {
  return await inTransaction(mysql, async (trx) => {
    await underClaim(trx, claimed);
    await lockAccount(trx, payment.user_id);
    const posted = await post(trx, payment);
    await advance(trx, cursor);
    return posted;
  });
}

const moveCursor = (mysql: Kysely<AccountingTables>, claimed: Claim, cursor: string) =>
  inTransaction(mysql, async (trx) => {
    await underClaim(trx, claimed);
    await advance(trx, cursor);
  });

/** Moves the cursor, never back. */
async function advance(trx: Transaction<AccountingTables>, cursor: string): Promise<void> {
  await trx
    .insertInto('user_prop_db.sublessor_income_cursor')
    .values({ log, posted_to: cursor })
    .onDuplicateKeyUpdate({ posted_to: sql`greatest(posted_to, values(posted_to))` })
    .execute();
}
