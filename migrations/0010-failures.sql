-- How often a message failed by its own fault: SQS counts deliveries, whatever ended them.
create table if not exists signalbox.message_failure (
  message_id varchar(100) character set ascii collate ascii_bin not null primary key comment 'the MessageId of SQS',
  failures int not null,
  failed_at datetime not null default current_timestamp comment 'the last time; after 15 days the row is deleted when another message fails',
  key by_failed_at (failed_at)
);
