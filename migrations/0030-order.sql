-- XA transactions that are prepared and have not ended, those without order rows too. One whose commit is read and that is not listed was prepared before the reader's first place, or before one that was passed over.
create table if not exists push_db.prepared_transaction (
  xid varchar(320) character set ascii collate ascii_bin not null primary key,
  noted_at datetime(3) not null default current_timestamp(3)
);

-- Such transactions, by where their commit stands: order/check-binlog names them until order/repair-gap has compared all orders.
create table if not exists push_db.missed_transaction (
  place varchar(350) character set ascii collate ascii_bin not null primary key,
  xid varchar(320) character set ascii collate ascii_bin not null,
  committed_at datetime(3) not null,
  noted_at datetime(3) not null default current_timestamp(3)
);

-- How far the open pushes were looked through for stuck ones: each run looks at some, the next at those after them, and then from the beginning.
create table if not exists push_db.stuck_look (
  name varchar(100) not null primary key,
  state varchar(12) character set ascii not null,
  looked_to datetime(3) not null comment 'created_at of the last push that was looked at',
  looked_push char(64) character set ascii not null comment 'its push_id'
);
