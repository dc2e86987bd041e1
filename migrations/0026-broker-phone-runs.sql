-- Full runs over the brokers' telephone numbers: `fill`, the first of all, and `compare`, one a day.
create table if not exists user_prop_db.broker_phone_run (
  name varchar(16) character set ascii collate ascii_bin not null primary key comment 'fill or compare',
  day date not null comment 'the Shanghai day for which it was begun',
  after_id bigint not null default 0 comment 'the highest broker id that is done',
  repaired bigint not null default 0 comment 'rows that were written or deleted',
  done_at datetime(3) null
);
