/** Stores: where they are read, and where they are written. */
import { sql } from 'kysely';
import { storeKey } from '../cache-keys.ts';
import { sources } from '../queues.ts';
import type { ProfileTables } from '../tables.ts';
import { dateIn, type SyncedEntity, withDeletion } from './synced-entity.ts';

const table = 'user_prop_db.broker_store';

interface Row extends Omit<ProfileTables[typeof table], 'is_deleted'> {
  readonly status: number | null;
}

export const stores: SyncedEntity<typeof table> = {
  source: sources.store,
  target: {
    table,
    key: 'store_id',
    columns: ['company_id', 'name', 'address', 'is_deleted', 'source_updated_at'],
    clearedOnDelete: ['source_updated_at'],
  },
  read: async (upstream, ids) => {
    const { rows } = await sql<Row>`
      select StoreId store_id, CompanyId company_id, StoreName name, Address address, Status status,
        ${dateIn('updated_datetime')} source_updated_at
      from anjuke_db.ajk_store where StoreId in (${ids}) order by StoreId`.execute(upstream);
    return rows.map(withDeletion);
  },
  cacheKey: storeKey,
};
