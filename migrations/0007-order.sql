-- Pushes that changes of orders cause (lib/order). The reader of the binlog writes push, order_seen and binlog_checkpoint in one transaction.
create schema if not exists push_db default character set utf8mb4;

-- What somebody must hear of, and what became of it; a row for each change that a scenario names. Its key is made from the change: reading the change again adds nothing.
create table if not exists push_db.push (
  push_id char(64) character set ascii not null primary key comment 'hash of where the change stands in the binlog; the push service knows it by this, too',
  sequence bigint unsigned not null auto_increment comment 'the order in which the pushes of an order go out',
  order_id bigint not null,
  scenario tinyint unsigned not null,
  receiver_type varchar(20) character set ascii not null comment 'patient, nurse or nurse_group',
  receiver_id bigint null comment 'null where nobody is there to receive it',
  channel varchar(10) character set ascii not null comment 'wechat or app',
  content varchar(200) not null,
  data varchar(200) null comment 'JSON',
  status_after varchar(32) character set ascii not null comment 'what the order became',
  changed_at datetime(3) not null comment 'when it became that',
  late_from datetime(3) not null comment 'what its age is counted from: changed_at, or when a person had it sent again',
  state varchar(12) character set ascii not null comment 'lib/order/push-states.ts',
  reason varchar(500) null comment 'why it was not sent',
  epoch int unsigned not null default 0 comment 'of who has it in hand; part of each write of an answer',
  in_hand_until datetime(3) null,
  attempts int unsigned not null default 0,
  perhaps_sent_at datetime(3) null comment 'the first attempt of which it is not known that nothing came of it',
  message_id varchar(100) null comment 'the push service''s',
  created_at datetime(3) not null default current_timestamp(3),
  updated_at datetime(3) not null default current_timestamp(3) on update current_timestamp(3),
  unique key by_sequence (sequence),
  key by_order (order_id, sequence),
  key by_state (state, created_at)
);

-- The last status that the reader saw of each order.
create table if not exists push_db.order_seen (
  order_id bigint not null primary key,
  status varchar(255) not null comment 'one that we do not know, too',
  updated_at datetime(3) not null default current_timestamp(3) on update current_timestamp(3)
);

-- Where the reader stands: at the end of the last whole transaction, or at the start of one too large for an invocation, of which it has written so many order rows.
create table if not exists push_db.binlog_checkpoint (
  name varchar(100) not null primary key,
  server_uuid char(36) character set ascii not null,
  gtid_set mediumtext character set ascii null comment 'null where the server gives no GTIDs',
  file varchar(255) not null,
  position bigint unsigned not null,
  rows_of varchar(320) character set ascii null comment 'the transaction that begins here, if rows of it are written already',
  rows_done bigint unsigned not null default 0 comment 'how many order rows of it are',
  read_to datetime(3) null comment 'when the last transaction up to here was made',
  epoch bigint unsigned not null comment 'of the lease under which it was written',
  updated_at datetime(3) not null default current_timestamp(3) on update current_timestamp(3)
);

-- Order rows of XA transactions that are prepared, until they are committed (or rolled back).
create table if not exists push_db.prepared_row (
  xid varchar(320) character set ascii collate ascii_bin not null,
  ordinal bigint unsigned not null,
  place varchar(350) character set ascii not null comment 'in the binlog; the push id is made from it',
  images json not null comment 'before and after',
  primary key (xid, ordinal)
);

-- What became of each push, in the words the business asked for. Rows are only added.
create table if not exists push_db.push_log (
  id bigint unsigned not null auto_increment primary key,
  push_id char(64) character set ascii not null,
  order_id bigint not null,
  outcome varchar(12) character set ascii not null,
  entry text not null comment 'of a success {"userId" or "nurseId", "operate", "successTime"}',
  logged_at datetime(3) not null default current_timestamp(3),
  key by_push (push_id),
  key by_order (order_id, id),
  key by_time (logged_at)
);
