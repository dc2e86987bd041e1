/** Companies: where they are read, and where they are written. */
import { sql } from 'kysely';
import { companyKey } from '../cache-keys.ts';
import { sources } from '../queues.ts';
import type { ProfileTables } from '../tables.ts';
import { dateIn, type SyncedEntity, withDeletion } from './synced-entity.ts';

const table = 'user_prop_db.broker_company';

interface Row extends Omit<ProfileTables[typeof table], 'is_deleted'> {
  readonly status: number | null;
}

/** The name that the site shows is the short name. */
export const companies: SyncedEntity<typeof table> = {
  source: sources.company,
  target: {
    table,
    key: 'company_id',
    columns: ['name', 'is_deleted', 'source_updated_at'],
    clearedOnDelete: ['source_updated_at'],
  },
  read: async (upstream, ids) => {
    const { rows } = await sql<Row>`
      select CompanyId company_id, ShortName name, Status status,
        ${dateIn('updated_datetime')} source_updated_at
      from anjuke_db.ajk_company where CompanyId in (${ids}) order by CompanyId`.execute(upstream);
    return rows.map(withDeletion);
  },
  cacheKey: companyKey,
};
