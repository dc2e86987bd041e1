-- Identifiers compare byte for byte: neither case nor trailing blanks are ignored.
alter table user_prop_db.sublessor_call_log_201409
  modify column call_id varchar(64) character set utf8mb4 collate utf8mb4_0900_bin not null;

alter table user_prop_db.call_shadow_log
  modify column call_id varchar(64) character set utf8mb4 collate utf8mb4_0900_bin not null;

alter table user_prop_db.sublessor_contract
  modify column contract_no varchar(64) character set utf8mb4 collate utf8mb4_0900_bin not null;

alter table user_prop_db.sublessor_contract_posting
  modify column contract_no varchar(64) character set utf8mb4 collate utf8mb4_0900_bin not null;

alter table user_prop_db.sublessor_difference
  modify column kind varchar(40) character set utf8mb4 collate utf8mb4_0900_bin not null,
  modify column subject varchar(100) character set utf8mb4 collate utf8mb4_0900_bin not null
    comment 'call, payment, trade or contract, by its id';
