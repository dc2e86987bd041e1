/** Copies rows of another system into a table of ours, under row locks. */
import { CompiledQuery, type Transaction } from 'kysely';
import type { ProfileTables } from '../tables.ts';

export type TableName = Extract<keyof ProfileTables, `user_prop_db.${string}`>;
type Column<Name extends TableName> = keyof ProfileTables[Name] & string;

/** One of our tables, or some of its columns, as a copy of rows of another system. */
export interface SyncedTable<Name extends TableName> {
  readonly table: Name;
  readonly key: Column<Name>;
  /**
   * Columns that are read under the row's lock and always written, even if the source's timestamp is older: a
   * timestamp may go back (a wrong clock, a restored backup), but of two readers under the lock the later one reads
   * the later state.
   */
  readonly columns: readonly Column<Name>[];
  /**
   * Columns that were read before the lock was taken, and the column with the time of that read. They are written
   * only if their time is at or after the stored one.
   */
  readonly readBeforeLock?: {
    readonly columns: readonly Column<Name>[];
    readonly readAt: Column<Name>;
  };
  /** Set to null when a row is marked deleted. */
  readonly clearedOnDelete: readonly Column<Name>[];
}

/** The current row at the source; `is_deleted` says whether the source itself counts it as deleted. */
export type SourceRow<Name extends TableName> = Readonly<Partial<ProfileTables[Name]>> & {
  readonly is_deleted: number;
};

export interface SyncCounts {
  /** Rows that exist at the source and are not deleted there. */
  readonly present: number;
  /** Rows that were marked deleted: they do not exist at the source, or are deleted there. */
  readonly deleted: number;
}

/**
 * Makes rows equal to their source. It locks each row (and inserts missing ones first) before it reads the source, so
 * that of two workers on the same id the later one reads the later state. Messages may therefore come in any order,
 * and run in parallel without limit. `ids` must be in lock order (`inLockOrder`).
 */
export async function syncRows<Name extends TableName>(
  trx: Transaction<ProfileTables>,
  target: SyncedTable<Name>,
  ids: readonly string[],
  read: (ids: readonly string[]) => Promise<readonly SourceRow<Name>[]>,
): Promise<SyncCounts> {
  await lockRows(trx, target, ids);
  const found = await read(ids);
  if (found.length) await writeRows(trx, target, found);
  const foundIds = new Set<unknown>(found.map((row) => row[target.key]));
  const absent = ids.filter((id) => !foundIds.has(id));
  if (absent.length) await markDeleted(trx, target, absent);
  const present = found.filter((row) => !row.is_deleted).length;
  return { present, deleted: ids.length - present };
}

/** Sorts ids by number. Every transaction locks rows in this order, which avoids deadlocks. */
export const inLockOrder = (ids: readonly string[]): string[] =>
  ids.toSorted((a, b) => Number(BigInt(a) - BigInt(b)));

/**
 * Runs a statement whose text is the same for any number of rows, because mysql2 expands the lists. Having Kysely
 * build the text of a hundred rows each time would take a fifth of the whole transaction's time.
 */
const execute = async (trx: Transaction<ProfileTables>, text: string, values: unknown) =>
  void (await trx.executeQuery(CompiledQuery.raw(text, [values])));

/** Inserts new rows as deleted: nobody sees them before the commit, and the source decides until then. */
async function lockRows<Name extends TableName>(
  trx: Transaction<ProfileTables>,
  { table, key }: SyncedTable<Name>,
  ids: readonly string[],
): Promise<void> {
  const insert = `insert into ${table} (${key}, is_deleted) values ?`;
  const rows = ids.map((id) => [id, 1]);
  await execute(trx, `${insert} on duplicate key update ${key} = ${table}.${key}`, rows);
}

async function writeRows<Name extends TableName>(
  trx: Transaction<ProfileTables>,
  { table, key, columns, readBeforeLock }: SyncedTable<Name>,
  rows: readonly SourceRow<Name>[],
): Promise<void> {
  const { columns: guardedColumns = [], readAt } = readBeforeLock ?? {};
  // MySQL assigns from left to right: the time must come last, or it would be compared with itself.
  const guarded = readAt ? [...guardedColumns, readAt] : [];
  const allColumns = [key, ...columns, ...guarded];
  const updates = [
    ...columns.map((column) => `${column} = values(${column})`),
    ...guarded.map((column) => `${column} = ${unlessOlder(column, String(readAt))}`),
  ];
  const insert = `insert into ${table} (${allColumns.join(', ')}) values ?`;
  const values = rows.map((row) => allColumns.map((column) => row[column]));
  await execute(trx, `${insert} on duplicate key update ${updates.join(', ')}`, values);
}

/** A stored time after this was written by a wrong clock, and protects nothing. */
const plausibleMax = 'now(6) + interval 1 hour';

/** SQL for the new value of `column`, or for the stored value if the new row was read before the stored one. */
const unlessOlder = (column: string, readAt: string): string =>
  `if(values(${readAt}) < ${readAt} and ${readAt} < ${plausibleMax}, ${column}, values(${column}))`;

async function markDeleted<Name extends TableName>(
  trx: Transaction<ProfileTables>,
  { table, key, clearedOnDelete }: SyncedTable<Name>,
  ids: readonly string[],
): Promise<void> {
  const changes = ['is_deleted = 1', ...clearedOnDelete.map((column) => `${column} = null`)];
  await execute(trx, `update ${table} set ${changes.join(', ')} where ${key} in (?)`, ids);
}
