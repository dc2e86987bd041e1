-- The tables of other systems that Signalbox reads, as those systems have them. Only local/ and the tests make them.
create schema if not exists anjuke_db default character set utf8mb4;

create table if not exists anjuke_db.ajk_broker (
  BrokerId bigint not null primary key,
  TrueName varchar(64),
  CityId int,
  CompanyId bigint,
  StoreId bigint,
  Photo varchar(255),
  Status tinyint comment '1 usable, 0 deleted',
  updated_datetime datetime,
  key (updated_datetime)
);

create table if not exists anjuke_db.ajk_brokerextend (
  BrokerId bigint not null primary key,
  UserMobile varchar(20),
  updated_datetime datetime,
  key (updated_datetime)
);

create table if not exists anjuke_db.ajk_company (
  CompanyId bigint not null primary key,
  CompanyName varchar(128),
  ShortName varchar(64),
  Status tinyint,
  updated_datetime datetime,
  key (updated_datetime)
);

create table if not exists anjuke_db.ajk_store (
  StoreId bigint not null primary key,
  CompanyId bigint,
  StoreName varchar(128),
  Address varchar(255),
  Status tinyint,
  updated_datetime datetime,
  key (updated_datetime)
);

create table if not exists anjuke_db.ajk_wechat_talent (
  BrokerId bigint not null primary key,
  IsTalent tinyint,
  Level int,
  updated_datetime datetime,
  key (updated_datetime)
);

create table if not exists anjuke_db.ajk_star_agent (
  BrokerId bigint not null primary key,
  IsStar tinyint,
  Stars int
);

create table if not exists anjuke_db.ajk_star_agent_state (
  BrokerId bigint not null,
  Day date not null,
  Updated tinyint,
  primary key (BrokerId, Day)
);
