/** Selects the star agents that a full run of a day has to publish. */
import { createHash } from 'node:crypto';
import { type Kysely, sql, type Transaction } from 'kysely';
import type { WallTime } from '../../platform/time.ts';
import type { FullRunTables, UpstreamTables } from '../tables.ts';
import type { FullRun } from './full-run.ts';

export const dayOf = (time: WallTime): string => time.slice(0, 10);
const startOf = (day: string): WallTime => `${day} 00:00:00`;

/** Returns whether a run for a day started after that day had ended. */
export const startedAfterDay = ({ day, began_at }: FullRun): boolean => dayOf(began_at) > day;

/**
 * Selects the star agents of a page to publish, and stores a hash of each. On the day itself it selects all, because
 * the state table says that a star agent changed but not when. After the day it selects those that were not published
 * on it, or have changed since.
 */
export async function newStars(
  trx: Transaction<FullRunTables>,
  upstream: Kysely<UpstreamTables>,
  fullRun: FullRun,
  page: readonly string[],
): Promise<string[]> {
  if (!page.length) return [];
  const current = await hashesOf(upstream, page);
  const published = startedAfterDay(fullRun) ? await storedHashes(trx, fullRun, page) : new Map();
  const changed = current.filter(({ id, hash }) => !published.get(id)?.equals(hash));
  if (changed.length)
    await trx
      .insertInto('signalbox.scan_seen')
      .values(
        changed.map(({ id, hash }) => ({
          name: fullRun.name,
          id,
          stamp: startOf(fullRun.day),
          hash,
        })),
      )
      .onDuplicateKeyUpdate({ stamp: sql`values(stamp)`, hash: sql`values(hash)` })
      .execute();
  return changed.map(({ id }) => id);
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

async function storedHashes(
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

/** Deletes the hashes of earlier days, which are of no use once a run of a later day starts. */
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
