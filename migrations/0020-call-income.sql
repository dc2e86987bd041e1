-- Payments that the cursor of call/post-income has passed and that have no income yet (lib/call/accounting/post-income.ts).
create table if not exists user_prop_db.sublessor_income_open (
  payment_id bigint not null primary key,
  why varchar(500) null comment 'why it could not be posted; null: it was not final',
  tried_at datetime(3) null,
  created_at datetime(3) not null default current_timestamp(3),
  key by_tried (tried_at)
);

-- Set while income waits although a contract of the owner has money: the next portion is allocated by call/post-income.
alter table user_prop_db.sublessor_account add column allocate_since datetime(3) null;

alter table user_prop_db.sublessor_account add key by_allocate (allocate_since);
