/** Scans a table for changed rows, with a cursor that misses no late commit. */
import { createHash } from 'node:crypto';
import { type Kysely, sql, type Transaction } from 'kysely';
import type { PlatformTables } from '../tables.ts';
import { dateOf, plusSeconds, type WallTime } from '../time.ts';
import { type Deliver, type OutboxEntry, transactionWithOutbox } from './outbox.ts';

/** A row of a scanned table; every further field counts as its content. */
export interface Stamped {
  readonly id: string;
  /** When it changed, by the database that holds it, in whole seconds. */
  readonly stamp: WallTime;
}

/** Rows with (stamp, id) after `time`, `id` and stamp not after `upTo`, in that order, at most `limit`. */
export interface Page {
  readonly time: WallTime;
  readonly id: string;
  readonly upTo: WallTime;
  readonly limit: number;
}

export interface Source<Row extends Stamped> {
  /** Of the cursor; never change it. */
  readonly name: string;
  /** The clock of the database that stamps the rows. */
  readonly now: () => Promise<WallTime>;
  readonly read: (page: Page) => Promise<readonly Row[]>;
}

export interface ScanLimits {
  /** Rows younger than this are left for the next run: a row may commit after its stamp. */
  readonly safetyLagSeconds: number;
  /** How long after its stamp a row may commit and still be found. */
  readonly overlapSeconds: number;
  readonly pageRowsMax: number;
}

export interface Scanned {
  readonly outcome: 'published' | 'nothing-new' | 'out-of-time' | 'fenced-off';
  readonly read: number;
  readonly published: number;
  /** From the source's clock to what is certainly published. */
  readonly lagSeconds: number;
  readonly firstRun?: true;
}

/** Below this many milliseconds no further page is begun. */
const pageTimeMs = 10_000;

/**
 * Publishes the rows that changed since the last run: what follows from them is written into the outbox in one
 * transaction with the cursor, so each version of a row is published once. What `followUps` writes with `trx` is of
 * that transaction, too.
 *
 * A run reads from `complete_to` − overlap up to the source's clock − safety lag, and remembers by hash what it has
 * published within the overlap: an equal row is passed over, one that changed within the same second is not. A run
 * that ends early is resumed where it stopped, so that a long backlog always gets shorter. The first run of all
 * begins at now − overlap and says so. What commits later than the overlap is left to reconciliation.
 *
 * Two runs at once are harmless: the one whose cursor has moved under it stops (`overtaken`).
 */
export async function scan<Row extends Stamped>(
  deps: { readonly mysql: Kysely<PlatformTables>; readonly deliver: Deliver },
  source: Source<Row>,
  limits: ScanLimits,
  remaining: () => number,
  followUps: (
    rows: readonly Row[],
    trx: Transaction<PlatformTables>,
  ) => readonly OutboxEntry[] | Promise<readonly OutboxEntry[]>,
): Promise<Scanned> {
  const { mysql } = deps;
  const now = await source.now();
  const upTo = plusSeconds(now, -limits.safetyLagSeconds);
  let cursor = await cursorOf(mysql, source.name, upTo, limits.overlapSeconds);
  const firstRun = cursor.first ? ({ firstRun: true } as const) : {};
  let read = 0;
  let published = 0;
  const scanned = (outcome: Scanned['outcome']): Scanned => {
    const lagSeconds = (dateOf(now).getTime() - dateOf(cursor.complete_to).getTime()) / 1000;
    return { outcome, read, published, lagSeconds, ...firstRun };
  };

  while (remaining() > pageTimeMs) {
    const bound = cursor.bound ?? upTo;
    const { at_time: time, at_id: id } = cursor;
    const rows = await source.read({ time, id, upTo: bound, limit: limits.pageRowsMax });
    const hashed = rows.map((row) => ({ row, hash: hashOf(row) }));
    const fresh = await unseen(mysql, source.name, hashed);
    const last = rows.length === limits.pageRowsMax ? rows.at(-1) : undefined;
    const next = last
      ? { ...cursor, bound, at_time: last.stamp, at_id: last.id }
      : completed(cursor, bound, limits.overlapSeconds);
    const moved = await transactionWithOutbox(deps, async (trx, follow) => {
      if (!(await advance(trx, cursor, next, fresh))) return false;
      const changed = fresh.map(({ row }) => row);
      if (changed.length) follow(...(await followUps(changed, trx)));
      return true;
    });
    if (!moved) return scanned('fenced-off');
    read += rows.length;
    published += fresh.length;
    cursor = { ...next, version: cursor.version + 1 };
    // A run that was resumed had an older bound: what came since then is a run of its own.
    if (!last && bound >= upTo) return scanned(published ? 'published' : 'nothing-new');
  }
  return scanned('out-of-time');
}

/**
 * Sets the cursor where there has been no run: a first run that must not begin yet, as under a kill switch, then finds
 * all that changes from now on, however late it comes.
 */
export async function setFirstCursor(
  mysql: Kysely<PlatformTables>,
  { name, now }: Pick<Source<Stamped>, 'name' | 'now'>,
  { safetyLagSeconds, overlapSeconds }: ScanLimits,
): Promise<void> {
  const known = await mysql
    .selectFrom('signalbox.scan_cursor')
    .select('name')
    .where('name', '=', name)
    .executeTakeFirst();
  if (!known)
    await cursorOf(mysql, name, plusSeconds(await now(), -safetyLagSeconds), overlapSeconds);
}

interface Cursor {
  readonly name: string;
  /** Everything up to here is published, but for rows that commit later. */
  readonly complete_to: WallTime;
  /** The upper bound of a run that has not ended. */
  readonly bound: WallTime | null;
  readonly at_time: WallTime;
  readonly at_id: string;
  readonly version: number;
  readonly first?: boolean;
}

const beforeAllIds = '0';

async function cursorOf(
  mysql: Kysely<PlatformTables>,
  name: string,
  upTo: WallTime,
  overlapSeconds: number,
): Promise<Cursor> {
  const find = () => mysql.selectFrom('signalbox.scan_cursor').selectAll().where('name', '=', name);
  const known = await find().executeTakeFirst();
  if (known) return known;
  const from = plusSeconds(upTo, -overlapSeconds);
  await mysql
    .insertInto('signalbox.scan_cursor')
    .ignore()
    .values({
      name,
      complete_to: from,
      bound: null,
      at_time: from,
      at_id: beforeAllIds,
      version: 0,
    })
    .execute();
  return { ...(await find().executeTakeFirstOrThrow()), first: true };
}

function completed(cursor: Cursor, bound: WallTime, overlapSeconds: number): Cursor {
  const from = plusSeconds(bound, -overlapSeconds);
  return { ...cursor, complete_to: bound, bound: null, at_time: from, at_id: beforeAllIds };
}

interface Hashed<Row> {
  readonly row: Row;
  readonly hash: Buffer;
}

const hashOf = (row: Stamped): Buffer => createHash('sha256').update(JSON.stringify(row)).digest();

async function unseen<Row extends Stamped>(
  mysql: Kysely<PlatformTables>,
  name: string,
  rows: readonly Hashed<Row>[],
): Promise<Hashed<Row>[]> {
  if (!rows.length) return [];
  const seen = await mysql
    .selectFrom('signalbox.scan_seen')
    .select(['id', 'hash'])
    .where('name', '=', name)
    .where(
      'id',
      'in',
      rows.map(({ row }) => row.id),
    )
    .execute();
  const hashes = new Map(seen.map(({ id, hash }) => [id, hash]));
  return rows.filter(({ row, hash }) => !hashes.get(row.id)?.equals(hash));
}

/** Moves the cursor and remembers what was published; false where another run was faster. */
async function advance<Row extends Stamped>(
  trx: Transaction<PlatformTables>,
  { name, version }: Cursor,
  { complete_to, bound, at_time, at_id }: Cursor,
  published: readonly Hashed<Row>[],
): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable('signalbox.scan_cursor')
    .set({ complete_to, bound, at_time, at_id, version: version + 1 })
    .where('name', '=', name)
    .where('version', '=', version)
    .executeTakeFirst();
  if (!numUpdatedRows) return false;
  if (published.length)
    await trx
      .insertInto('signalbox.scan_seen')
      .values(published.map(({ row: { id, stamp }, hash }) => ({ name, id, stamp, hash })))
      .onDuplicateKeyUpdate({ stamp: sql`values(stamp)`, hash: sql`values(hash)` })
      .execute();
  if (bound === null)
    await trx
      .deleteFrom('signalbox.scan_seen')
      .where('name', '=', name)
      .where('stamp', '<', at_time)
      .execute();
  return true;
}
