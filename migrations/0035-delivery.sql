-- Until when a row is out of sight because its delivery is under way: while `due_at` is the same, it is no time that a consumer named (lib/platform/messaging/outbox.ts).
alter table signalbox.outbox add column taken_until datetime(3) null comment 'set by platform/deliver-due with due_at' after due_at;
