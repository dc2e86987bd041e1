-- What must follow a commit: a message, an event or a cache invalidation, written in the same transaction (lib/platform/messaging/outbox.ts).
create table if not exists signalbox.outbox (
  id bigint not null auto_increment primary key,
  destination varchar(150) not null comment 'queue:<id>, event:<name> or invalidate',
  body mediumtext not null,
  due_at datetime(3) not null,
  held_by varchar(100) null comment 'the switch that must be lifted first',
  dedupe_key binary(32) null comment 'hash of destination and body of what is postponed',
  version int unsigned not null default 1 comment 'a row is deleted only in the version that was sent',
  created_at datetime(3) not null default current_timestamp(3),
  unique key by_dedupe_key (dedupe_key),
  key by_due (held_by, due_at)
);

-- Work that only one may do at a time; its epoch is part of every write it protects (lib/platform/mysql/lease.ts).
create table if not exists signalbox.claim (
  name varchar(100) not null primary key,
  epoch bigint unsigned not null,
  held_until datetime(3) not null
);

-- Kill switches, set by hand (`npm run ops`): no deploy lifts one. A row with state 'off' stops what it names.
create table if not exists signalbox.switch (
  name varchar(100) not null primary key,
  state varchar(10) not null,
  `by` varchar(100) not null,
  why varchar(500) not null,
  at datetime not null default current_timestamp
);

-- Signed requests that were answered; a second one with the same nonce is refused.
create table if not exists signalbox.nonce (
  key_id varchar(100) not null,
  nonce varchar(100) character set ascii collate ascii_bin not null,
  expires_at datetime not null,
  primary key (key_id, nonce),
  key by_expiry (expires_at)
);

-- How often a caller has called in a minute.
create table if not exists signalbox.call_rate (
  caller varchar(190) not null,
  minute datetime not null,
  calls int unsigned not null,
  primary key (caller, minute),
  key by_minute (minute)
);

-- Who did what by hand, when and why. Rows are only added.
create table if not exists signalbox.audit (
  id bigint not null auto_increment primary key,
  at datetime(3) not null default current_timestamp(3),
  who varchar(190) not null,
  what varchar(100) not null,
  why varchar(500) null,
  detail json null,
  key by_time (at),
  key by_what (what, at)
);
