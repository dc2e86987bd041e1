alter table user_prop_db.sublessor_reconciliation
  add column missing varchar(100) null comment 'the parts that could not be compared: statement, k3';
