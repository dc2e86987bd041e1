/** Tables that the broker domain reads and writes. */
import type { PlatformTables } from '../platform/tables.ts';

/** Upstream tables (schema `anjuke_db`), which belong to another system: only the columns that we read. */
export interface UpstreamTables {
  'anjuke_db.ajk_broker': {
    BrokerId: string;
    TrueName: string | null;
    CityId: number | null;
    CompanyId: string | null;
    StoreId: string | null;
    Photo: string | null;
    Status: number | null;
    updated_datetime: string | null;
  };
  'anjuke_db.ajk_brokerextend': {
    BrokerId: string;
    UserMobile: string | null;
    updated_datetime: string | null;
  };
  'anjuke_db.ajk_company': {
    CompanyId: string;
    CompanyName: string | null;
    ShortName: string | null;
    Status: number | null;
    updated_datetime: string | null;
  };
  'anjuke_db.ajk_store': {
    StoreId: string;
    CompanyId: string | null;
    StoreName: string | null;
    Address: string | null;
    Status: number | null;
    updated_datetime: string | null;
  };
  'anjuke_db.ajk_wechat_talent': {
    BrokerId: string;
    IsTalent: number | null;
    Level: number | null;
    updated_datetime: string | null;
  };
  'anjuke_db.ajk_star_agent': {
    BrokerId: string;
    IsStar: number | null;
    Stars: number | null;
  };
  'anjuke_db.ajk_star_agent_state': {
    BrokerId: string;
    Day: string;
    Updated: number | null;
  };
}

/** The user-facing tables that the site reads (schema `user_prop_db`), and the platform's tables. */
export interface ProfileTables extends PlatformTables {
  'user_prop_db.broker_base': {
    broker_id: string;
    true_name: string | null;
    city_id: number | null;
    company_id: string | null;
    store_id: string | null;
    photo: string | null;
    mobile: string | null;
    is_deleted: number;
    source_updated_at: string | null;
    mobile_updated_at: string | null;
  };
  'user_prop_db.broker_ext_profile': {
    broker_id: string;
    weidian_name: string | null;
    wechat_name: string | null;
    weidian_qrcode: string | null;
    is_wechat_talent: number;
    talent_level: number | null;
    is_star_agent: number;
    stars: number | null;
    is_deleted: number;
    weidian_asked_at: string | null;
    weidian_failures: number;
    talent_updated_at: string | null;
  };
  'user_prop_db.broker_company': {
    company_id: string;
    name: string | null;
    is_deleted: number;
    source_updated_at: string | null;
  };
  'user_prop_db.broker_store': {
    store_id: string;
    company_id: string | null;
    name: string | null;
    address: string | null;
    is_deleted: number;
    source_updated_at: string | null;
  };
}

/** The progress of full runs: one row per name, with the cursor of its last run. */
export interface FullRunTables extends ProfileTables {
  'signalbox.broker_walk': {
    name: string;
    run: number;
    day: string;
    at_id: string;
    published: string;
    total: string;
    ended: number;
    began_at: string;
  };
}
