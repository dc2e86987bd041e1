/** Base profiles of brokers: where they are read, and where they are written. */
import { sql } from 'kysely';
import { profileKey } from '../cache-keys.ts';
import { sources } from '../queues.ts';
import type { ProfileTables } from '../tables.ts';
import { dateIn, type SyncedEntity, withDeletion } from './synced-entity.ts';

const table = 'user_prop_db.broker_base';

interface Row extends Omit<ProfileTables[typeof table], 'is_deleted'> {
  readonly status: number | null;
}

/** The broker's row and its telephone number come from two upstream tables; each has its own timestamp. */
export const bases: SyncedEntity<typeof table> = {
  source: sources.base,
  target: {
    table,
    key: 'broker_id',
    columns: [
      'true_name',
      'city_id',
      'company_id',
      'store_id',
      'photo',
      'is_deleted',
      'source_updated_at',
      'mobile',
      'mobile_updated_at',
    ],
    clearedOnDelete: ['source_updated_at', 'mobile_updated_at'],
  },
  read: async (upstream, ids) => {
    const { rows } = await sql<Row>`
      select broker.BrokerId broker_id, TrueName true_name, CityId city_id, CompanyId company_id, StoreId store_id,
        Photo photo, Status status, ${dateIn('broker.updated_datetime')} source_updated_at,
        UserMobile mobile, ${dateIn('extend.updated_datetime')} mobile_updated_at
      from anjuke_db.ajk_broker broker
        left join anjuke_db.ajk_brokerextend extend on extend.BrokerId = broker.BrokerId
      where broker.BrokerId in (${ids}) order by broker.BrokerId`.execute(upstream);
    return rows.map(withDeletion);
  },
  cacheKey: profileKey,
};
