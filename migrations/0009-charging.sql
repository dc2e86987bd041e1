-- Locked by whoever begins a charge, so that the limits of a minute are exact.
create table if not exists user_prop_db.charge_gate (
  scope varchar(40) character set ascii not null primary key comment 'all, or owner:<user_id>',
  counted_after_id bigint not null default 0 comment 'the last payment there was when a stop was lifted: only later ones count against the limits'
);

insert ignore into user_prop_db.charge_gate (scope) values ('all');

alter table user_prop_db.sublessor_call_payment_log_201409 add column announced tinyint not null default 1 comment '0 until call/charged went out for a charge of ours';

alter table user_prop_db.sublessor_call_payment_log_201409 add key by_created (created_at);

alter table user_prop_db.sublessor_call_payment_log_201409 add key by_announced (announced, state);

-- What would have been decided, in shadow mode, about calls that the old system filters and charges.
create table if not exists user_prop_db.call_shadow_log like user_prop_db.sublessor_call_log_201409;

alter table user_prop_db.call_shadow_log add column compared varchar(10) null comment 'with the old system''s row: agrees, differs or missing';

alter table user_prop_db.call_shadow_log add key by_compared (compared, created_at);
