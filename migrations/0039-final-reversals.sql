-- Whether a refused reversal is the last attempt was read from the beginning of its reason.
alter table user_prop_db.sublessor_call_payment_log_201409
  add column is_final tinyint not null default 0 comment '1: a refused reversal that no other may follow, because a person ended it or there is nothing to give back';

update user_prop_db.sublessor_call_payment_log_201409 set is_final = 1, updated_at = updated_at
  where reverses_id is not null and state = 'refused'
    and (reason like 'by hand: %' or reason = 'the payment centre has never seen the charge');
