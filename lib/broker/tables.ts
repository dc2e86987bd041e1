/** Upstream tables (schema `anjuke_db`), as far as we read them. They are another system's. */
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
}

/** What the user-facing site reads (schema `user_prop_db`). */
export interface ProfileTables {
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
    is_wechat_talent: number | null;
    talent_level: number | null;
    is_star_agent: number | null;
    stars: number | null;
    is_deleted: number;
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
