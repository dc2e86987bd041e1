-- How often the sending of a row was refused for a reason of its own, and the last reason (lib/platform/messaging/deliver-due.ts).
alter table signalbox.outbox
  add column attempts int unsigned not null default 0 comment 'refusals for a reason of its own; 0 while its queue, bus or cache is unavailable' after version,
  add column reason varchar(500) character set utf8mb4 collate utf8mb4_0900_bin null comment 'of the last refusal' after attempts;

-- What platform/deliver-due tells apart. It is computed, so rows of before, and rows of code that does not know it, have it too.
alter table signalbox.outbox
  add column kind varchar(12) character set utf8mb4 collate utf8mb4_0900_bin
    generated always as (if(attempts > 0, 'refused', if(destination like 'invalidate%', 'invalidation', 'message'))) virtual not null
    comment 'refused, invalidation or message' after destination;

-- Finds the destinations that have rows, and of each the rows that are due, without reading any others.
alter table signalbox.outbox add key by_kind (kind, held_by, destination, due_at);
