-- The same for the tables and columns that came with the migrations just before it.
alter table signalbox.message_failure
  modify message_id varchar(100) character set utf8mb4 collate utf8mb4_0900_bin not null comment 'the MessageId of SQS';

alter table user_prop_db.broker_reported_drift
  modify kind varchar(10) character set utf8mb4 collate utf8mb4_0900_bin not null,
  modify state varchar(10) character set utf8mb4 collate utf8mb4_0900_bin not null comment 'suspect or drift',
  modify upstream_hash char(32) character set utf8mb4 collate utf8mb4_0900_bin null comment 'null where upstream shows no such row';

alter table user_prop_db.broker_phone_run
  modify name varchar(16) character set utf8mb4 collate utf8mb4_0900_bin not null comment 'fill or compare';

alter table user_prop_db.sublessor_reconciliation
  modify missing varchar(100) character set utf8mb4 collate utf8mb4_0900_bin null comment 'the parts that could not be compared: statement, k3';

alter table push_db.prepared_transaction
  modify xid varchar(320) character set utf8mb4 collate utf8mb4_0900_bin not null;

alter table push_db.missed_transaction
  modify place varchar(350) character set utf8mb4 collate utf8mb4_0900_bin not null,
  modify xid varchar(320) character set utf8mb4 collate utf8mb4_0900_bin not null;

alter table push_db.stuck_look
  modify name varchar(100) character set utf8mb4 collate utf8mb4_0900_bin not null,
  modify state varchar(12) character set utf8mb4 collate utf8mb4_0900_bin not null,
  modify looked_push char(64) character set utf8mb4 collate utf8mb4_0900_bin not null comment 'its push_id';
