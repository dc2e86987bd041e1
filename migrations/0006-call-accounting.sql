-- What an owner has signed: charges are taken out of the balance (names of tables and first columns are the old system's).
create table if not exists user_prop_db.sublessor_contract (
  contract_id bigint not null primary key,
  contract_no varchar(64) character set utf8mb4 collate utf8mb4_bin not null,
  user_id bigint not null comment 'the owner',
  customer varchar(128) not null,
  amount_fen bigint not null,
  balance_fen bigint not null comment 'amount less the income that stands against the contract; never below 0',
  signed_at datetime not null,
  status varchar(10) not null default 'open' comment 'at K3: open, posted or refused',
  created_at datetime(3) not null default current_timestamp(3),
  unique key by_contract_no (contract_no),
  key by_age (user_id, signed_at, contract_id),
  check (balance_fen >= 0)
);

-- What each charge was posted as; the amounts of a payment add up to the payment's.
create table if not exists user_prop_db.sublessor_accounting_income_201409 (
  id bigint not null auto_increment primary key,
  payment_id bigint not null,
  contract_id bigint null comment 'null: no contract has covered it yet',
  user_id bigint not null,
  amount_fen bigint not null comment 'negative where a charge was reversed',
  created_at datetime(3) not null default current_timestamp(3),
  unique key by_payment (payment_id, contract_id),
  key by_contract (contract_id),
  key by_waiting (user_id, contract_id),
  key by_time (created_at)
);

-- Locked first by whoever moves an owner's money between charges and contracts: one at a time, in any order.
create table if not exists user_prop_db.sublessor_account (
  user_id bigint not null primary key
);

-- Up to where every charge is final and, if it was made, posted (lib/call/accounting/post-income.ts). A row per log of charges.
create table if not exists user_prop_db.sublessor_income_cursor (
  log varchar(64) not null primary key,
  posted_to bigint not null
);

-- What was posted to K3 of a contract, kept apart from it: neither can be lost or changed unnoticed.
create table if not exists user_prop_db.sublessor_contract_posting (
  contract_id bigint not null primary key,
  contract_no varchar(64) character set utf8mb4 collate utf8mb4_bin not null,
  amount_fen bigint not null,
  bill_no varchar(64) null,
  message varchar(500) null comment 'what K3 refused it with',
  customers_before json null comment 'names that were corrected: who sends them now is late',
  epoch int unsigned not null default 0 comment 'of who has it in hand',
  held_until datetime(3) null,
  attempts int unsigned not null default 0,
  created_at datetime(3) not null default current_timestamp(3),
  updated_at datetime(3) not null default current_timestamp(3) on update current_timestamp(3),
  unique key by_contract_no (contract_no)
);

-- Why an owner's listings are where they are (lib/call/listings/switch-listings.ts).
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
