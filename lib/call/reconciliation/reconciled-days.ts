/** Stores the result of each reconciled day and its differences. */
import { type Kysely, sql, type Transaction } from 'kysely';
import { cutTo } from '../../platform/cut.ts';
import { inTransaction } from '../../platform/mysql/mysql.ts';
import type { AccountingTables } from '../accounting-tables.ts';
import { type Comparison, type Difference, kindsOf } from './book-differences.ts';
import { k3Kinds } from './erp-differences.ts';
import { plusDays, statementKinds } from './statement-differences.ts';

type Trx = Transaction<AccountingTables>;

const days = 'user_prop_db.sublessor_reconciliation';
const differences = 'user_prop_db.sublessor_difference';
const rowsPerStatementMax = 500;
/** The lengths of the columns, to which texts of partners are cut. */
const lengths = { subject: 100, value: 200 } as const;
/** The search for days without a comparison goes back this far. */
const lookBackDays = 400;

/** The parts of a reconciliation, with the kinds of difference that each can find. */
const kinds = { ...kindsOf, statement: statementKinds, k3: k3Kinds } as const;
export type Part = keyof typeof kinds;

/** The parts that belong to no day. They are compared with the last day of a run, for all days before it. */
const wholeParts: readonly Part[] = ['income', 'contracts', 'k3'];

export interface Compared extends Comparison {
  readonly part: Part;
}

/**
 * Replaces the stored differences of a day. A part that could not be compared keeps its former differences, and is
 * stored as missing. Returns the differences as they are stored, without duplicates.
 */
export async function writeDay(
  mysql: Kysely<AccountingTables>,
  day: string,
  compared: readonly Compared[],
): Promise<Difference[]> {
  const found = storedForm(compared.flatMap((one) => one.found));
  const missing = compared.filter(({ why }) => why !== undefined).map(({ part }) => part);
  await inTransaction(mysql, async (trx) => {
    const kept = missing.flatMap((part): readonly string[] => kinds[part]);
    const former = trx.deleteFrom(differences).where('day', '=', day);
    await (kept.length ? former.where('kind', 'not in', kept) : former).execute();
    for (let start = 0; start < found.length; start += rowsPerStatementMax)
      await trx
        .insertInto(differences)
        .values(found.slice(start, start + rowsPerStatementMax).map((one) => ({ day, ...one })))
        .onDuplicateKeyUpdate({ ours: sql`values(ours)`, theirs: sql`values(theirs)` })
        .execute();
    await writeVerdict(trx, day, missing);
    const whole = compared.filter(({ part, why }) => wholeParts.includes(part) && !why);
    if (whole.length) await clearMissing(trx, day, new Set<string>(whole.map(({ part }) => part)));
  });
  return found;
}

/** Cuts texts to the columns, and drops duplicates of kind and subject. */
function storedForm(found: readonly Difference[]): Difference[] {
  const cut = (value: string | null) => value && cutTo(String(value), lengths.value);
  const one = new Map<string, Difference>();
  for (const { kind, subject: whole, ours, theirs } of found) {
    const subject = cutTo(whole, lengths.subject);
    const key = `${kind}\n${subject}`;
    if (!one.has(key)) one.set(key, { kind, subject, ours: cut(ours), theirs: cut(theirs) });
  }
  return [...one.values()];
}

async function writeVerdict(trx: Trx, day: string, missing: readonly string[]): Promise<void> {
  const { count } = await trx
    .selectFrom(differences)
    .select(({ fn }) => fn.countAll<string>().as('count'))
    .where('day', '=', day)
    .executeTakeFirstOrThrow();
  const run = {
    verdict: verdictOf(Number(count), missing),
    differences: Number(count),
    missing: missing.length ? missing.join(',') : null,
    made_at: sql<string>`now(3)`,
  };
  await trx
    .insertInto(days)
    .values({ day, ...run })
    .onDuplicateKeyUpdate(run)
    .execute();
}

function verdictOf(count: number, missing: readonly string[]) {
  if (count) return 'differences' as const;
  return missing.length ? ('incomplete' as const) : ('balanced' as const);
}

/** Removes parts from `missing` of all earlier days, because they were just compared for all of them. */
async function clearMissing(trx: Trx, day: string, parts: ReadonlySet<string>): Promise<void> {
  const open = await trx
    .selectFrom(days)
    .select(['day', 'missing', 'differences'])
    .where('missing', 'is not', null)
    .where('day', '<', day)
    .execute();
  for (const row of open) {
    const left = (row.missing ?? '').split(',').filter((part) => !parts.has(part));
    const missing = left.length ? left.join(',') : null;
    if (missing !== row.missing)
      await trx
        .updateTable(days)
        .set({ missing, verdict: verdictOf(row.differences, left) })
        .where('day', '=', row.day)
        .execute();
  }
}

/** Returns the days until `to`, since the first that was ever compared, that are not compared in full. */
export async function daysNotCompared(
  mysql: Kysely<AccountingTables>,
  to: string,
): Promise<string[]> {
  const rows = await mysql
    .selectFrom(days)
    .select(['day', 'missing'])
    .where('day', '>=', plusDays(to, -lookBackDays))
    .where('day', '<=', to)
    .orderBy('day')
    .execute();
  const [first] = rows;
  if (!first) return [];
  const whole = new Set(rows.filter(({ missing }) => missing === null).map(({ day }) => day));
  const open: string[] = [];
  for (let { day } = first; day <= to; day = plusDays(day, 1)) if (!whole.has(day)) open.push(day);
  return open;
}
