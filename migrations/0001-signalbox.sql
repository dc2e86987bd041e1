-- What the platform keeps for itself. Every statement may run twice; a statement ends with a semicolon at its line's end.
create schema if not exists signalbox default character set utf8mb4;

-- Where an incremental scan stands (lib/platform/messaging/scan.ts).
create table if not exists signalbox.scan_cursor (
  name varchar(100) not null primary key,
  complete_to datetime not null comment 'all rows with an earlier stamp are published',
  bound datetime null comment 'upper bound of a run that has not ended',
  at_time datetime not null,
  at_id varchar(64) character set ascii not null,
  version int unsigned not null
);

-- What it has published within its overlap.
create table if not exists signalbox.scan_seen (
  name varchar(100) not null,
  id varchar(64) character set ascii not null,
  stamp datetime not null,
  hash binary(32) not null,
  primary key (name, id),
  key by_stamp (name, stamp)
);
