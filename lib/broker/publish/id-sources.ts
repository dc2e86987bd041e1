/** The ids that full runs pass over: those upstream, and those that the site still shows. */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { idMax } from '../../platform/ids.ts';
import type { ProfileTables, UpstreamTables } from '../tables.ts';
import type { IdSource } from './full-run.ts';

type Upstream = Kysely<UpstreamTables>;
type Ours = Kysely<ProfileTables>;

/** Reads the ids of one table, of upstream or ours, that meet a condition. */
const idsOf =
  <Tables>(
    db: Kysely<Tables>,
    table: keyof Tables & string,
    key: string,
    condition: RawBuilder<unknown>,
  ): IdSource =>
  async (after, limit) => {
    const { rows } = await sql<{ id: string }>`
      select ${sql.ref(key)} id from ${sql.table(table)}
      where ${sql.ref(key)} > ${after} and ${sql.ref(key)} <= ${idMax} and ${condition} order by ${sql.ref(key)} limit ${limit}`.execute(
      db,
    );
    return rows.map(({ id }) => id);
  };

const all = sql`true`;
const shown = sql`is_deleted = 0`;

/** All brokers upstream, and those that the site still shows although upstream has removed them. */
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

/** Brokers who may have a micro shop: all usable ones upstream, and those whose extended profile is still shown. */
export const everyShop = (upstream: Upstream, mysql: Ours): readonly IdSource[] => [
  idsOf(upstream, 'anjuke_db.ajk_broker', 'BrokerId', sql`Status = 1`),
  idsOf(mysql, 'user_prop_db.broker_ext_profile', 'broker_id', shown),
];

/** Star agents that changed on a day, by the state table that only producers read. */
export const starsOf = (upstream: Upstream, day: string): readonly IdSource[] => [
  idsOf(upstream, 'anjuke_db.ajk_star_agent_state', 'BrokerId', sql`Day = ${day} and Updated = 1`),
];

/** All talents upstream, and the brokers that the site still shows as talents. */
export const everyTalent = (upstream: Upstream, mysql: Ours): readonly IdSource[] => [
  idsOf(upstream, 'anjuke_db.ajk_wechat_talent', 'BrokerId', sql`IsTalent = 1`),
  idsOf(mysql, 'user_prop_db.broker_ext_profile', 'broker_id', sql`is_wechat_talent = 1`),
];
