-- Calls and what they cost (shared with the old system's readers: the names of tables and of their first columns are fixed).
create table if not exists user_prop_db.broker_phone (
  broker_id bigint not null primary key,
  phone varchar(20) not null comment 'as upstream has it',
  digits varchar(20) character set ascii not null comment 'as it is compared: without 0086/86, and without a 0 before 1[3-9]',
  updated_at datetime null comment 'ajk_brokerextend.updated_datetime of the row this was written from',
  key by_digits (digits)
);

create table if not exists user_prop_db.sublessor_call_log_201409 (
  id bigint not null auto_increment primary key,
  call_id varchar(64) character set utf8mb4 collate utf8mb4_bin not null,
  user_id bigint not null comment 'the owner',
  caller varchar(32) not null,
  callee varchar(32) not null,
  status int not null comment '1: connected',
  started_at datetime not null,
  duration int not null comment 'seconds',
  call_type tinyint not null default 1 comment '1 normal, 2 call-back',
  filter_rule tinyint null comment '1 valid, greater never charged; null until decided, then never changed',
  created_at datetime(3) not null default current_timestamp(3),
  caller_digits varchar(32) character set ascii not null comment 'as it is compared',
  decided_at datetime(3) null,
  decision json null comment 'every rule with its input and its outcome, as it was decided',
  unique key by_call_id (call_id),
  key by_pair (user_id, caller_digits, started_at),
  key by_open (filter_rule, created_at)
);

-- One row for each caller of each owner, to be locked while one of their calls is decided.
create table if not exists user_prop_db.call_pair (
  user_id bigint not null,
  caller_digits varchar(32) character set ascii not null,
  primary key (user_id, caller_digits)
);

create table if not exists user_prop_db.sublessor_call_payment_log_201409 (
  id bigint not null auto_increment primary key comment 'for ever the trade_id at the payment centre',
  call_log_id bigint null,
  reverses_id bigint null comment 'the row that this one takes back; amount_fen is then negative',
  user_id bigint not null,
  amount_fen bigint not null,
  call_type tinyint not null default 1,
  state varchar(10) not null comment 'intent, sent, unknown, charged or refused: lib/call/charge-states.ts',
  balance_fen bigint null comment 'of the owner after it, as the payment centre said',
  reason varchar(500) null,
  created_at datetime(3) not null default current_timestamp(3),
  updated_at datetime(3) not null default current_timestamp(3) on update current_timestamp(3),
  sent_at datetime(3) null comment 'when the payment centre was last asked to charge; counts against the limits of a minute',
  in_hand_until datetime(3) null comment 'who sent or asks has it until then',
  epoch int unsigned not null default 1 comment 'part of every write of an answer',
  asked int unsigned not null default 0 comment 'how often the payment centre was asked what became of it',
  ask_at datetime(3) null comment 'when it is asked again',
  unique key by_call_log_id (call_log_id),
  unique key by_reverses_id (reverses_id),
  key by_state (state, updated_at),
  key by_sent (sent_at, user_id),
  key by_user (user_id, created_at)
) auto_increment = 820000000000;

-- Charging stands still, for all owners or for one, until `call/resume-charging` lifts it.
create table if not exists user_prop_db.charge_stop (
  scope varchar(40) character set ascii not null primary key comment 'all, or owner:<user_id>',
  why varchar(500) not null,
  at datetime(3) not null default current_timestamp(3)
);
