import { deliverDue } from '../../lib/platform/messaging/deliver-due.ts';
import type { Deliver, OutboxRow } from '../../lib/platform/messaging/outbox.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';
import { run } from './databases.ts';

const db = mysql<PlatformTables>('mysql');

/**
 * A run on a clock of its own: looking takes no time, pausing does, and sending where `tookMs` says so. The lease ages
 * with the clock.
 */
export async function deliver(
  seconds: number,
  sent: (rows: readonly OutboxRow[], atMs: number) => void,
  perMinuteMax = 6000,
  send: Deliver = async (rows) => [...rows],
  tookMs: (rows: readonly OutboxRow[]) => number = () => 0,
) {
  let nowMs = 0;
  const pass = async (ms: number) => {
    nowMs += ms;
    await run('update signalbox.claim set held_until = held_until - interval ? microsecond', [
      ms * 1_000,
    ]);
  };
  const deps = {
    mysql: db,
    deliver: async (rows: readonly OutboxRow[], refused?: Parameters<Deliver>[1]) => {
      sent(rows, nowMs);
      const accepted = await send(rows, refused);
      const ms = tookMs(rows);
      if (ms) await pass(ms);
      return accepted;
    },
    settings: async () => ({ deliveriesPerMinuteMax: perMinuteMax }),
    pause: async (ms: number) => {
      nowMs += ms;
    },
  };
  const answer = await deliverDue(deps, { remaining: () => seconds * 1000 - nowMs });
  return { ...answer, leftMs: seconds * 1000 - nowMs };
}

/** Fills the table with rows that are due, a thousand at a time. `destination` is an expression over `a.id`, 0 to 999. */
export async function flood(count: number, destination: string, body = '{}'): Promise<void> {
  await run(
    `set session cte_max_recursion_depth = 2000;
     insert into signalbox.outbox (destination, body, due_at)
       with recursive n as (select 0 id union all select id + 1 from n where id < 999)
       select ${destination}, ?, now(3) - interval 60 second
       from n a join n b where b.id < ?`,
    [body, Math.ceil(count / 1000)],
  );
}
