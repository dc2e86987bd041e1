-- The user-facing copy of upstream profiles (shared with the site, which reads it).
create schema if not exists user_prop_db default character set utf8mb4;

create table if not exists user_prop_db.broker_base (
  broker_id bigint not null primary key,
  true_name varchar(64) null,
  city_id int null,
  company_id bigint null,
  store_id bigint null,
  photo varchar(255) null,
  mobile varchar(20) null,
  is_deleted tinyint not null default 1,
  source_updated_at datetime null comment 'ajk_broker.updated_datetime of the row this was written from; null where none was there',
  mobile_updated_at datetime null comment 'the same of ajk_brokerextend',
  key by_company (company_id),
  key by_store (store_id)
);
