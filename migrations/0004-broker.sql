-- The rest of the user-facing copy of upstream profiles (shared with the site, which reads it).
create table if not exists user_prop_db.broker_ext_profile (
  broker_id bigint not null primary key,
  weidian_name varchar(255) null,
  wechat_name varchar(255) null,
  weidian_qrcode varchar(1000) null,
  is_wechat_talent tinyint not null default 0,
  talent_level int null,
  is_star_agent tinyint not null default 0,
  stars int null,
  is_deleted tinyint not null default 1,
  weidian_asked_at datetime(6) null comment 'when the micro-shop was asked for what stands here: a later answer wins',
  weidian_failures int unsigned not null default 0 comment 'times in a row that it did not answer for this broker',
  talent_updated_at datetime null comment 'ajk_wechat_talent.updated_datetime of the row this was written from',
  key by_talent (is_wechat_talent, broker_id)
);

create table if not exists user_prop_db.broker_company (
  company_id bigint not null primary key,
  name varchar(64) null comment 'the short name',
  is_deleted tinyint not null default 1,
  source_updated_at datetime null comment 'ajk_company.updated_datetime of the row this was written from'
);

create table if not exists user_prop_db.broker_store (
  store_id bigint not null primary key,
  company_id bigint null,
  name varchar(128) null,
  address varchar(255) null,
  is_deleted tinyint not null default 1,
  source_updated_at datetime null comment 'ajk_store.updated_datetime of the row this was written from',
  key by_company (company_id)
);

-- How far a producer has come that publishes everything there is (lib/broker/publish/full-run.ts).
create table if not exists signalbox.broker_walk (
  name varchar(100) not null primary key,
  run int unsigned not null comment 'the how-manieth walk of this name',
  day date not null comment 'of the tick, or of the moment, that began it',
  at_id bigint not null comment 'ids up to here are published',
  published bigint unsigned not null,
  total bigint unsigned not null comment 'rows upstream when it began',
  ended tinyint not null,
  began_at datetime not null default current_timestamp
);
