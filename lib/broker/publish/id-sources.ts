import { type Kysely, type RawBuilder, sql } from 'kysely';
import { idMax } from '../../platform/ids.ts';
import type { ProfileTables, UpstreamTables } from '../tables.ts';
import type { IdSource } from './full-run.ts';

type Upstream = Kysely<UpstreamTables>;
type Ours = Kysely<ProfileTables>;

/** The ids of one table, of upstream or of ours, that fulfil a condition. */
const idsOf =
  <Tables>(
    db: Kysely<Tables>,
    table: keyof Tables & string,
    key: string,
    which: RawBuilder<unknown>,
  ): IdSource =>
  async (after, limit) => {
    const { rows } = await sql<{ id: string }>`
      select ${sql.ref(key)} id from ${sql.table(table)}
      where ${sql.ref(key)} > ${after} and ${sql.ref(key)} <= ${idMax} and ${which} order by ${sql.ref(key)} limit ${limit}`.execute(
      db,
    );
    return rows.map(({ id }) => id);
  };

const all = sql`true`;
const shown = sql`is_deleted = 0`;

/** All that upstream has, and what the site still shows although it is gone there. */
export const everyBase = (upstream: Upstream, mysql: Ours): readonly IdSource[] => [
  idsOf(upstream, 'anjuke_db.ajk_broker', 'BrokerId', all),
  idsOf(mysql, 'user_prop_db.broker_base', 'broker_id', shown),
];
export const everyCompany = (upstream: Upstream, mysql: Ours): readonly IdSource[] => [
  idsOf(upstream, 'anjuke_db.ajk_company', 'CompanyId', all),
  idsOf(mysql, 'user_prop_db.broker_company', 'company_id', shown),
];
export const everyStore = (upstream: Upstream, mysql: Ours): readonly IdSource[] => [
  idsOf(upstream, 'anjuke_db.ajk_store', 'StoreId', all),
  idsOf(mysql, 'user_prop_db.broker_store', 'store_id', shown),
];

/** Who may have a micro-shop: every broker that is there; and whose extended profile is shown although he is gone. */
export const everyShop = (upstream: Upstream, mysql: Ours): readonly IdSource[] => [
  idsOf(upstream, 'anjuke_db.ajk_broker', 'BrokerId', sql`Status = 1`),
  idsOf(mysql, 'user_prop_db.broker_ext_profile', 'broker_id', shown),
];

/** Star agents that changed on a day, by the state table that only producers read. */
export const starsOf = (upstream: Upstream, day: string): readonly IdSource[] => [
  idsOf(upstream, 'anjuke_db.ajk_star_agent_state', 'BrokerId', sql`Day = ${day} and Updated = 1`),
];

/** Every talent; and who is shown as one and may be none any more. */
export const everyTalent = (upstream: Upstream, mysql: Ours): readonly IdSource[] => [
  idsOf(upstream, 'anjuke_db.ajk_wechat_talent', 'BrokerId', sql`IsTalent = 1`),
  idsOf(mysql, 'user_prop_db.broker_ext_profile', 'broker_id', sql`is_wechat_talent = 1`),
];
