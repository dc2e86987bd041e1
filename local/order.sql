-- The order system's tables, as that system has them; only `order` is read. Only local/ and the tests make them.
create schema if not exists order_db default character set utf8mb4;

create table if not exists order_db.`order` (
  order_id bigint not null primary key,
  patient_id bigint not null,
  nurse_id bigint null,
  status varchar(32) not null,
  changed_by enum('patient', 'nurse', 'system', 'support') not null,
  service_id int null,
  amount_fen int unsigned null,
  address varchar(255) null,
  remark text null,
  appointed_at datetime null,
  created_at datetime(3) not null default current_timestamp(3),
  updated_at datetime(3) not null default current_timestamp(3),
  key by_patient (patient_id),
  key by_nurse (nurse_id),
  key by_time (updated_at)
);

-- Busy, and of no interest.
create table if not exists order_db.order_log (
  id bigint not null auto_increment primary key,
  order_id bigint not null,
  what varchar(64) not null,
  detail json null,
  logged_at datetime(3) not null default current_timestamp(3),
  key by_order (order_id)
);

create table if not exists order_db.nurse_location (
  nurse_id bigint not null primary key,
  lat decimal(9, 6) not null,
  lng decimal(9, 6) not null,
  reported_at datetime(3) not null default current_timestamp(3)
);

create table if not exists order_db.order_payment (
  payment_id bigint not null auto_increment primary key,
  order_id bigint not null,
  amount_fen int unsigned not null,
  state varchar(16) not null,
  raw mediumblob null,
  paid_at datetime(3) null,
  key by_order (order_id)
);
