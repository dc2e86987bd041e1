import { CompiledQuery, type Transaction } from 'kysely';
import type { ProfileTables } from '../tables.ts';

export type TableName = Extract<keyof ProfileTables, `user_prop_db.${string}`>;
type Column<Name extends TableName> = keyof ProfileTables[Name] & string;

/** One of our tables, or some of its columns, as a copy of rows of another system. */
export interface SyncedTable<Name extends TableName> {
  readonly table: Name;
  readonly key: Column<Name>;
  /**
   * Columns that are read under the row's lock and written whatever its stamp: a stamp may be set back (a clock, a restored
   * backup), and of two who read under the lock the later one reads the later state.
   */
  readonly columns: readonly Column<Name>[];
  /** Columns that were read before the lock, and the one that says when: an earlier reading than was written is passed over, an equal one is not. */
  readonly readBeforeLock?: { readonly columns: readonly Column<Name>[]; readonly at: Column<Name> };
  /** Set to null when a row is marked deleted. */
  readonly clearedOnDelete: readonly Column<Name>[];
}

/** A row as its source has it now; `is_deleted` says whether the source itself counts it as deleted. */
export type SourceRow<Name extends TableName> = Readonly<Partial<ProfileTables[Name]>> & {
  readonly is_deleted: number;
};

export interface SyncCounts {
  /** Present and usable at the source: written, undeleted. */
  readonly present: number;
  /** Absent at the source, or it says so itself: marked deleted. */
  readonly deleted: number;
}

/**
 * Makes rows equal to their source. Each row is locked (made first, if it is new) before the source is read, so of
 * two who apply the same id the later one reads the later state: right in any order, in parallel without limit.
 * `ids` are in the order of their numbers, which is the order of the locks.
 */
export async function syncRows<Name extends TableName>(
  trx: Transaction<ProfileTables>,
  copied: SyncedTable<Name>,
  ids: readonly string[],
  read: (ids: readonly string[]) => Promise<readonly SourceRow<Name>[]>,
): Promise<SyncCounts> {
  await lock(trx, copied, ids);
  const found = await read(ids);
  if (found.length) await write(trx, copied, found);
  const known = new Set(found.map((row) => row[copied.key]));
  const absent = ids.filter((id) => !known.has(id as never));
  if (absent.length) await markDeleted(trx, copied, absent);
  const present = found.filter((row) => !row.is_deleted).length;
  return { present, deleted: ids.length - present };
}

/** In the order in which all lock. */
export const inLockOrder = (ids: readonly string[]): string[] =>
  ids.toSorted((a, b) => Number(BigInt(a) - BigInt(b)));

/**
 * Statements are texts, the same for any number of rows: mysql2 itself spreads lists. To have Kysely write out a
 * hundred rows each time takes a fifth of the time of the whole transaction.
 */
const run = async (trx: Transaction<ProfileTables>, text: string, values: unknown) =>
  void (await trx.executeQuery(CompiledQuery.raw(text, [values])));

/** A new row is born deleted: nobody sees it before the commit, and then it is written or stays so. */
async function lock<Name extends TableName>(
  trx: Transaction<ProfileTables>,
  { table, key }: SyncedTable<Name>,
  ids: readonly string[],
): Promise<void> {
  const made = `insert into ${table} (${key}, is_deleted) values ?`;
  const born = ids.map((id) => [id, 1]);
  await run(trx, `${made} on duplicate key update ${key} = ${table}.${key}`, born);
}

async function write<Name extends TableName>(
  trx: Transaction<ProfileTables>,
  { table, key, columns: copies, readBeforeLock: readBefore }: SyncedTable<Name>,
  rows: readonly SourceRow<Name>[],
): Promise<void> {
  const { columns: earlier = [], at } = readBefore ?? {};
  // MySQL assigns from left to right: the time comes last, or it would be compared with itself.
  const timed = at ? [...earlier, at] : [];
  const columns = [key, ...copies, ...timed];
  const updates = [
    ...copies.map((column) => `${column} = values(${column})`),
    ...timed.map((column) => `${column} = ${unlessEarlier(column, String(at))}`),
  ];
  const made = `insert into ${table} (${columns.join(', ')}) values ?`;
  const values = rows.map((row) => columns.map((column) => row[column]));
  await run(trx, `${made} on duplicate key update ${updates.join(', ')}`, values);
}

/** A time that lies further ahead was written by a clock that was wrong. */
const aheadMax = 'now(6) + interval 1 hour';

/** The new value of `column`, or the old one where the new row was read earlier than the old one. */
const unlessEarlier = (column: string, at: string): string =>
  `if(values(${at}) < ${at} and ${at} < ${aheadMax}, ${column}, values(${column}))`;

async function markDeleted<Name extends TableName>(
  trx: Transaction<ProfileTables>,
  { table, key, clearedOnDelete: forgets }: SyncedTable<Name>,
  ids: readonly string[],
): Promise<void> {
  const changes = ['is_deleted = 1', ...forgets.map((column) => `${column} = null`)];
  await run(trx, `update ${table} set ${changes.join(', ')} where ${key} in (?)`, ids);
}
