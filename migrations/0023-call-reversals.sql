alter table user_prop_db.sublessor_call_payment_log_201409
  add column refund_refused_of bigint null comment 'of a refund that was refused and is made again: what it was to take back; reverses_id is the next row''s';

alter table user_prop_db.sublessor_call_payment_log_201409 add key by_refund_refused_of (refund_refused_of);

-- From now on `unknown` without `ask_at` waits for a person, for reversals as for charges.
update user_prop_db.sublessor_call_payment_log_201409 set ask_at = now(3), updated_at = updated_at
  where reverses_id is not null and state = 'unknown' and ask_at is null;

-- Top-ups whose stamp was later than our clock when they came, and when that was.
create table if not exists user_prop_db.sublessor_top_up_ahead (
  user_id bigint not null,
  stamped_at datetime not null,
  balance_fen bigint not null,
  received_at datetime not null,
  primary key (user_id, stamped_at, balance_fen)
);
