create table if not exists user_prop_db.broker_ext_profile (
  broker_id bigint not null primary key,
  weidian_name varchar(128) null,
  wechat_name varchar(128) null,
  weidian_qrcode varchar(255) null,
  is_wechat_talent tinyint null,
  talent_level int null,
  is_star_agent tinyint null,
  stars int null,
  is_deleted tinyint not null default 1
);
create table if not exists user_prop_db.broker_company (
  company_id bigint not null primary key,
  name varchar(64) null,
  is_deleted tinyint not null default 1,
  source_updated_at datetime null
);
create table if not exists user_prop_db.broker_store (
  store_id bigint not null primary key,
  company_id bigint null,
  name varchar(128) null,
  address varchar(255) null,
  is_deleted tinyint not null default 1,
  source_updated_at datetime null
);
