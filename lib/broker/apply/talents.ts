/** WeChat talents and star agents: where they are read, and where they are written. */
import { sql } from 'kysely';
import { profileKey } from '../cache-keys.ts';
import { sources } from '../queues.ts';
import { dateIn, type SyncedEntity, withDeletion } from './synced-entity.ts';

const table = 'user_prop_db.broker_ext_profile';

interface Row {
  readonly broker_id: string;
  readonly is_wechat_talent: number;
  readonly talent_level: number | null;
  readonly is_star_agent: number;
  readonly stars: number | null;
  readonly talent_updated_at: string | null;
  readonly status: number | null;
}

/**
 * An extended profile exists as long as its broker does. Nothing here reads ajk_star_agent_state: only producers use
 * it, to find the star agents that changed on a day.
 */
export const talents: SyncedEntity<typeof table> = {
  source: sources.talentAndStar,
  target: {
    table,
    key: 'broker_id',
    columns: [
      'is_wechat_talent',
      'talent_level',
      'talent_updated_at',
      'is_star_agent',
      'stars',
      'is_deleted',
    ],
    clearedOnDelete: ['talent_updated_at'],
  },
  read: async (upstream, ids) => {
    const { rows } = await sql<Row>`
      select broker.BrokerId broker_id, coalesce(IsTalent = 1, 0) is_wechat_talent, Level talent_level,
        coalesce(IsStar = 1, 0) is_star_agent, Stars stars, Status status,
        ${dateIn('talent.updated_datetime')} talent_updated_at
      from anjuke_db.ajk_broker broker
        left join anjuke_db.ajk_wechat_talent talent on talent.BrokerId = broker.BrokerId
        left join anjuke_db.ajk_star_agent star on star.BrokerId = broker.BrokerId
      where broker.BrokerId in (${ids}) order by broker.BrokerId`.execute(upstream);
    return rows.map(withDeletion);
  },
  cacheKey: profileKey,
};
