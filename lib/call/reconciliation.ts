import { type Kysely, sql } from 'kysely';
import * as z from 'zod';
import type { Hand } from '../platform/by-hand.ts';
import type { Partner } from '../platform/http.ts';
import { inTransaction } from '../platform/mysql.ts';
import { wallTime } from '../platform/time.ts';
import type { AccountingTables } from './accounting-tables.ts';
import { type Difference, differencesOfContracts, differencesOfDays } from './differences.ts';
import { differencesOfK3 } from './erp-differences.ts';
import type { Payments } from './payments.ts';
import type { CallSettings } from './settings.ts';
import { differencesOfStatement, plusDays, statementsOf } from './statements.ts';

const daysMax = 400;

/** `{from, to}`, Shanghai days, of which `to` is the last; or the event of a schedule, which means the day before. */
export const ReconcileDays = z.union([
  z
    .strictObject({ from: z.iso.date(), to: z.iso.date().optional() })
    .transform(({ from, to = from }) => ({ from, to }))
    .refine(({ from, to }) => from <= to, 'Expected `from` to be no later than `to`')
    .refine(({ from, to }) => plusDays(from, daysMax) > to, `Expected ${daysMax} days at most`),
  z
    .looseObject({ source: z.literal('aws.events'), time: z.iso.datetime({ offset: true }) })
    .transform(({ time }) => {
      const day = plusDays(wallTime(new Date(time)).slice(0, 10), -1);
      return { from: day, to: day, daily: true };
    }),
]);
export type ReconcileDays = z.infer<typeof ReconcileDays>;

export interface ReconcileDeps {
  readonly mysql: Kysely<AccountingTables>;
  readonly payments: Pick<Payments, 'statementOf'>;
  readonly k3: Partner;
  readonly settings: () => Promise<Pick<CallSettings, 'shadow'>>;
}

/** With less than this left no further day is begun. */
const dayMs = 120_000;
const shownMax = 20;

/**
 * Holds call log, payment log, the payment centre's statement, income, contract balances and K3 against each other,
 * and writes every difference down by its name, a day at a time. Contracts belong to no day: all of them are compared,
 * and what differs is written down with the last day. A day that was reconciled before gets what is found now.
 */
export async function reconcile(
  deps: ReconcileDeps,
  { from, to, ...how }: ReconcileDays,
  { remaining, progress }: Pick<Hand, 'remaining' | 'progress'>,
) {
  const { mysql, payments, settings } = deps;
  // The charges are the old system's, and it has the books.
  if ('daily' in how && (await settings()).shadow) return { outcome: 'in shadow mode', from, to };
  const statements = statementsOf(payments);
  const found: Difference[] = [];
  for (let day = from; day <= to; day = plusDays(day, 1)) {
    if (day !== from && remaining() < dayMs)
      return { ...said(from, day, found), resume: { from: day, to } };
    const span = { from: `${day} 00:00:00`, to: `${plusDays(day, 1)} 00:00:00` };
    const differences = [
      ...(await differencesOfDays(mysql, span)),
      ...(await differencesOfStatement(mysql, statements, day)),
      ...(day === to ? await differencesOfContracts(mysql, span) : []),
      ...(day === to ? await differencesOfK3(deps, span) : []),
    ];
    await write(mysql, day, differences);
    found.push(...differences);
    progress(differences.length, undefined, day);
  }
  return said(from, to, found);
}

const said = (from: string, to: string, found: readonly Difference[]) => ({
  outcome: found.length ? 'differences' : 'balanced',
  from,
  to,
  differences: found.length,
  ...(found.length && { first: found.slice(0, shownMax) }),
});

const rowsPerStatementMax = 500;

async function write(
  mysql: Kysely<AccountingTables>,
  day: string,
  differences: readonly Difference[],
): Promise<void> {
  const verdict = differences.length ? 'differences' : 'balanced';
  const run = { verdict, differences: differences.length, made_at: sql<string>`now(3)` } as const;
  await inTransaction(mysql, async (trx) => {
    await trx
      .insertInto('user_prop_db.sublessor_reconciliation')
      .values({ day, ...run })
      .onDuplicateKeyUpdate(run)
      .execute();
    await trx.deleteFrom('user_prop_db.sublessor_difference').where('day', '=', day).execute();
    for (let start = 0; start < differences.length; start += rowsPerStatementMax)
      await trx
        .insertInto('user_prop_db.sublessor_difference')
        .values(
          differences.slice(start, start + rowsPerStatementMax).map((one) => ({ day, ...one })),
        )
        .execute();
  });
}
