-- What a payment was for before a person set its call, or its charge, free (call/settle-by-hand): the id stays used up.
alter table user_prop_db.sublessor_call_payment_log_201409
  add column freed_call_log_id bigint null comment 'the call that this row no longer stands for',
  add column freed_reverses_id bigint null comment 'the charge that this row no longer takes back';
