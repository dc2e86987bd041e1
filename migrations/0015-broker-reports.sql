-- A round that only reports is told apart from one that repairs: neither takes the place of the other.
alter table user_prop_db.broker_round add column repairs tinyint not null default 1 comment '0: it only reports';

-- Rows that differed in the last round that only reported; those of a round that repairs are in broker_drift.
create table if not exists user_prop_db.broker_reported_drift like user_prop_db.broker_drift;
