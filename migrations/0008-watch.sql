-- Rounds in which all of upstream is compared with the site (lib/broker/reconcile/reconcile-profiles.ts).
create table if not exists user_prop_db.broker_round (
  round bigint not null auto_increment primary key,
  started_at datetime(3) not null default current_timestamp(3),
  ended_at datetime(3) null,
  kind varchar(10) not null comment 'what is compared now; empty when all is',
  after_id bigint not null comment 'ids up to here are compared',
  compared bigint unsigned not null comment 'rows that were seen upstream'
);

-- Rows that differed in the last round: suspects first, drift when they still differ and upstream has not changed since.
create table if not exists user_prop_db.broker_drift (
  kind varchar(10) not null,
  subject_id bigint not null,
  state varchar(10) not null comment 'suspect or drift',
  upstream_hash char(32) character set ascii null comment 'null where upstream shows no such row',
  found_at datetime(3) not null,
  primary key (kind, subject_id),
  key by_state (state, found_at)
);

-- The last broker of which a change was sent through everything, to see how long that takes (lib/broker/read/send-canary.ts).
create table if not exists user_prop_db.broker_canary (
  broker_id bigint not null primary key,
  stamp datetime not null comment 'what the site must show again',
  published_at datetime(3) not null,
  applied_at datetime(3) null,
  readable_at datetime(3) null
);
