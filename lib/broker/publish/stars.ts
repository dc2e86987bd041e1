import { createHash } from 'node:crypto';
import { type Kysely, sql, type Transaction } from 'kysely';
import type { WallTime } from '../../platform/time.ts';
import type { FullRunTables, UpstreamTables } from '../tables.ts';
import type { FullRun } from './full-run.ts';

export const dayOf = (time: WallTime): string => time.slice(0, 10);
const startOf = (day: string): WallTime => `${day} 00:00:00`;

/** Whether a walk over the stars of a day began when that day had ended. */
export const startedAfterDay = ({ day, began_at }: FullRun): boolean => dayOf(began_at) > day;

/**
 * The star agents of a page that are to be published, and remembered as they are now. On the day itself these are all,
 * for the state table says that a star agent changed but not when. When the day has ended, they are those that were not
 * published on it, or have changed since.
 */
export async function newStars(
  trx: Transaction<FullRunTables>,
  upstream: Kysely<UpstreamTables>,
  walk: FullRun,
  page: readonly string[],
): Promise<string[]> {
  if (!page.length) return [];
  const now = await hashesOf(upstream, page);
  const published = startedAfterDay(walk) ? await remembered(trx, walk, page) : new Map();
  const fresh = now.filter(({ id, hash }) => !published.get(id)?.equals(hash));
  if (fresh.length)
    await trx
      .insertInto('signalbox.scan_seen')
      .values(
        fresh.map(({ id, hash }) => ({ name: walk.name, id, stamp: startOf(walk.day), hash })),
      )
      .onDuplicateKeyUpdate({ stamp: sql`values(stamp)`, hash: sql`values(hash)` })
      .execute();
  return fresh.map(({ id }) => id);
}

async function hashesOf(upstream: Kysely<UpstreamTables>, page: readonly string[]) {
  const { rows } = await sql<{ id: string; stars: string }>`
    select BrokerId id, concat_ws(',', coalesce(IsStar, '-'), coalesce(Stars, '-')) stars
    from anjuke_db.ajk_star_agent where BrokerId in (${sql.join(page)})`.execute(upstream);
  const stars = new Map(rows.map((row) => [row.id, row.stars]));
  const hashOf = (id: string) =>
    createHash('sha256')
      .update(stars.get(id) ?? 'none')
      .digest();
  return page.map((id) => ({ id, hash: hashOf(id) }));
}

async function remembered(
  trx: Transaction<FullRunTables>,
  { name, day }: FullRun,
  page: readonly string[],
): Promise<ReadonlyMap<string, Buffer>> {
  const rows = await trx
    .selectFrom('signalbox.scan_seen')
    .select(['id', 'hash'])
    .where('name', '=', name)
    .where('stamp', '=', startOf(day))
    .where('id', 'in', page)
    .execute();
  return new Map(rows.map(({ id, hash }) => [id, hash]));
}

/** What is remembered of earlier days is of no use once a walk of a later day begins. */
export async function deleteStars(
  trx: Transaction<FullRunTables>,
  { name, day }: FullRun,
): Promise<void> {
  await trx
    .deleteFrom('signalbox.scan_seen')
    .where('name', '=', name)
    .where('stamp', '<', startOf(day))
    .execute();
}
