-- Names, keys, nonces, callers, states and subjects compare byte for byte, trailing blanks and case among them: one binary collation without padding.
-- Texts for people, and what the site shows, keep theirs. Tables that are made from now on begin with the binary one.
alter schema signalbox default collate utf8mb4_0900_bin;

alter schema user_prop_db default collate utf8mb4_0900_bin;

alter schema push_db default collate utf8mb4_0900_bin;

-- The migrations' own table is there before the first of them, except where a test runs the files by hand.
create table if not exists signalbox.migration (name varchar(100) primary key, hash char(64) not null, applied_at datetime not null default current_timestamp);

alter table signalbox.migration
  modify name varchar(100) character set utf8mb4 collate utf8mb4_0900_bin not null,
  modify hash char(64) character set utf8mb4 collate utf8mb4_0900_bin not null;

alter table signalbox.scan_cursor
  modify name varchar(100) character set utf8mb4 collate utf8mb4_0900_bin not null,
  modify at_id varchar(64) character set utf8mb4 collate utf8mb4_0900_bin not null;

alter table signalbox.scan_seen
  modify name varchar(100) character set utf8mb4 collate utf8mb4_0900_bin not null,
  modify id varchar(64) character set utf8mb4 collate utf8mb4_0900_bin not null;

alter table signalbox.outbox
  modify destination varchar(150) character set utf8mb4 collate utf8mb4_0900_bin not null comment 'queue:<id>, event:<name> or invalidate',
  modify held_by varchar(100) character set utf8mb4 collate utf8mb4_0900_bin null comment 'the switch that must be lifted first';

alter table signalbox.claim
  modify name varchar(100) character set utf8mb4 collate utf8mb4_0900_bin not null;

alter table signalbox.switch
  modify name varchar(100) character set utf8mb4 collate utf8mb4_0900_bin not null,
  modify state varchar(10) character set utf8mb4 collate utf8mb4_0900_bin not null,
  modify `by` varchar(100) character set utf8mb4 collate utf8mb4_0900_bin not null;

alter table signalbox.nonce
  modify key_id varchar(100) character set utf8mb4 collate utf8mb4_0900_bin not null,
  modify nonce varchar(100) character set utf8mb4 collate utf8mb4_0900_bin not null;

alter table signalbox.call_rate
  modify caller varchar(190) character set utf8mb4 collate utf8mb4_0900_bin not null;

alter table signalbox.audit
  modify who varchar(190) character set utf8mb4 collate utf8mb4_0900_bin not null,
  modify what varchar(100) character set utf8mb4 collate utf8mb4_0900_bin not null;

alter table signalbox.broker_walk
  modify name varchar(100) character set utf8mb4 collate utf8mb4_0900_bin not null;

alter table user_prop_db.broker_phone
  modify digits varchar(20) character set utf8mb4 collate utf8mb4_0900_bin not null comment 'as it is compared: without 0086/86, and without a 0 before 1[3-9]';

alter table user_prop_db.sublessor_call_log_201409
  modify call_id varchar(64) character set utf8mb4 collate utf8mb4_0900_bin not null,
  modify caller varchar(32) character set utf8mb4 collate utf8mb4_0900_bin not null,
  modify callee varchar(32) character set utf8mb4 collate utf8mb4_0900_bin not null,
  modify caller_digits varchar(32) character set utf8mb4 collate utf8mb4_0900_bin not null comment 'as it is compared';

alter table user_prop_db.call_pair
  modify caller_digits varchar(32) character set utf8mb4 collate utf8mb4_0900_bin not null;

alter table user_prop_db.sublessor_call_payment_log_201409
  modify state varchar(10) character set utf8mb4 collate utf8mb4_0900_bin not null comment 'intent, sent, unknown, charged or refused: lib/call/charge-states.ts';

alter table user_prop_db.charge_stop
  modify scope varchar(40) character set utf8mb4 collate utf8mb4_0900_bin not null comment 'all, or owner:<user_id>';

alter table user_prop_db.sublessor_contract
  modify contract_no varchar(64) character set utf8mb4 collate utf8mb4_0900_bin not null,
  modify status varchar(10) character set utf8mb4 collate utf8mb4_0900_bin not null default 'open' comment 'at K3: open, posted or refused';

alter table user_prop_db.sublessor_income_cursor
  modify log varchar(64) character set utf8mb4 collate utf8mb4_0900_bin not null;

alter table user_prop_db.sublessor_contract_posting
  modify contract_no varchar(64) character set utf8mb4 collate utf8mb4_0900_bin not null,
  modify bill_no varchar(64) character set utf8mb4 collate utf8mb4_0900_bin null;

alter table user_prop_db.sublessor_listings
  modify cause varchar(40) character set utf8mb4 collate utf8mb4_0900_bin null,
  modify state varchar(10) character set utf8mb4 collate utf8mb4_0900_bin not null default 'online' comment 'what the listing service has confirmed: online or offline',
  modify request_id varchar(64) character set utf8mb4 collate utf8mb4_0900_bin null comment 'the last request that was begun';

alter table user_prop_db.sublessor_reconciliation
  modify verdict varchar(12) character set utf8mb4 collate utf8mb4_0900_bin not null comment 'balanced or differences';

alter table user_prop_db.sublessor_difference
  modify kind varchar(40) character set utf8mb4 collate utf8mb4_0900_bin not null,
  modify subject varchar(100) character set utf8mb4 collate utf8mb4_0900_bin not null comment 'call, payment, trade or contract, by its id';

alter table push_db.push
  modify push_id char(64) character set utf8mb4 collate utf8mb4_0900_bin not null comment 'hash of where the change stands in the binlog; the push service knows it by this, too',
  modify receiver_type varchar(20) character set utf8mb4 collate utf8mb4_0900_bin not null comment 'patient, nurse or nurse_group',
  modify channel varchar(10) character set utf8mb4 collate utf8mb4_0900_bin not null comment 'wechat or app',
  modify status_after varchar(32) character set utf8mb4 collate utf8mb4_0900_bin not null comment 'what the order became',
  modify state varchar(12) character set utf8mb4 collate utf8mb4_0900_bin not null comment 'lib/order/push-states.ts',
  modify message_id varchar(100) character set utf8mb4 collate utf8mb4_0900_bin null comment 'the push service''s';

alter table push_db.order_seen
  modify status varchar(255) character set utf8mb4 collate utf8mb4_0900_bin not null comment 'one that we do not know, too';

alter table push_db.binlog_checkpoint
  modify name varchar(100) character set utf8mb4 collate utf8mb4_0900_bin not null,
  modify server_uuid char(36) character set utf8mb4 collate utf8mb4_0900_bin not null,
  modify gtid_set mediumtext character set utf8mb4 collate utf8mb4_0900_bin null comment 'null where the server gives no GTIDs',
  modify file varchar(255) character set utf8mb4 collate utf8mb4_0900_bin not null,
  modify rows_of varchar(320) character set utf8mb4 collate utf8mb4_0900_bin null comment 'the transaction that begins here, if rows of it are written already';

alter table push_db.prepared_row
  modify xid varchar(320) character set utf8mb4 collate utf8mb4_0900_bin not null,
  modify place varchar(350) character set utf8mb4 collate utf8mb4_0900_bin not null comment 'in the binlog; the push id is made from it';

alter table push_db.push_log
  modify push_id char(64) character set utf8mb4 collate utf8mb4_0900_bin not null,
  modify outcome varchar(12) character set utf8mb4 collate utf8mb4_0900_bin not null;

alter table user_prop_db.broker_round
  modify kind varchar(10) character set utf8mb4 collate utf8mb4_0900_bin not null comment 'what is compared now; empty when all is';

alter table user_prop_db.broker_drift
  modify kind varchar(10) character set utf8mb4 collate utf8mb4_0900_bin not null,
  modify state varchar(10) character set utf8mb4 collate utf8mb4_0900_bin not null comment 'suspect or drift',
  modify upstream_hash char(32) character set utf8mb4 collate utf8mb4_0900_bin null comment 'null where upstream shows no such row';

alter table user_prop_db.charge_gate
  modify scope varchar(40) character set utf8mb4 collate utf8mb4_0900_bin not null comment 'all, or owner:<user_id>';

alter table user_prop_db.call_shadow_log
  modify call_id varchar(64) character set utf8mb4 collate utf8mb4_0900_bin not null,
  modify caller varchar(32) character set utf8mb4 collate utf8mb4_0900_bin not null,
  modify callee varchar(32) character set utf8mb4 collate utf8mb4_0900_bin not null,
  modify caller_digits varchar(32) character set utf8mb4 collate utf8mb4_0900_bin not null comment 'as it is compared',
  modify compared varchar(10) character set utf8mb4 collate utf8mb4_0900_bin null comment 'with the old system''s row: agrees, differs or missing';
