-- Locked first by whoever moves an owner's money between charges and contracts: one at a time, in any order.
create table if not exists user_prop_db.sublessor_account (
  user_id bigint not null primary key
);

-- Up to where every charge is final and, if it was made, posted (lib/call/income.ts). A row per log of charges.
create table if not exists user_prop_db.sublessor_income_cursor (
  log varchar(64) not null primary key,
  posted_to bigint not null
);

-- How far the posting of a contract to K3 is. It says what was posted, apart from the contract: neither can be lost unnoticed.
create table if not exists user_prop_db.sublessor_contract_posting (
  contract_id bigint not null primary key,
  contract_no varchar(64) not null,
  amount_fen bigint not null,
  state varchar(10) not null comment 'open, posted or refused',
  epoch int unsigned not null default 0 comment 'of who has it in hand',
  held_until datetime(3) null,
  attempts int unsigned not null default 0,
  bill_no varchar(64) null,
  message varchar(500) null comment 'what K3 refused it with',
  customers_before json null comment 'names that were corrected: who sends them now is late',
  created_at datetime(3) not null default current_timestamp(3),
  updated_at datetime(3) not null default current_timestamp(3) on update current_timestamp(3),
  unique key by_contract_no (contract_no),
  key by_state (state)
);

-- Why an owner's listings are where they are (lib/call/listings.ts).
create table if not exists user_prop_db.sublessor_listings (
  user_id bigint not null primary key,
  cause_at datetime(3) null comment 'of the latest charge that took them offline',
  cause_payment_id bigint null,
  cause varchar(40) null,
  topped_up_at datetime(3) null,
  state varchar(10) not null default 'online' comment 'what the listing service has confirmed: online or offline',
  since datetime(3) null,
  request_id varchar(64) character set ascii null comment 'the last request that was begun',
  request_done tinyint not null default 1,
  epoch int unsigned not null default 0 comment 'of who has it in hand',
  held_until datetime(3) null,
  attempts int unsigned not null default 0 comment 'at the last request'
);

-- What a reconciliation found, and that it was made. A later one of the same day takes the place of an earlier one.
create table if not exists user_prop_db.sublessor_reconciliation (
  day date not null primary key,
  verdict varchar(12) not null comment 'balanced or differences',
  differences int unsigned not null,
  counts json not null,
  made_at datetime(3) not null default current_timestamp(3)
);

create table if not exists user_prop_db.sublessor_difference (
  day date not null,
  kind varchar(40) not null,
  subject varchar(100) not null comment 'call, payment, trade or contract, by its id',
  ours varchar(200) null,
  theirs varchar(200) null,
  primary key (day, kind, subject)
);

-- How far the old system's rows are imported, a row per table (lib/call/history.ts).
create table if not exists user_prop_db.sublessor_import (
  source varchar(64) not null primary key,
  imported_to bigint not null,
  imported bigint not null
);
