import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { oldestUnsentSeconds } from '../../lib/order/pushes/oldest-unsent.ts';
import { leaseNextPush } from '../../lib/order/pushes/push-lease.ts';
import { requeueStuckPushes } from '../../lib/order/pushes/requeue-stuck.ts';
import { pushesToSend } from '../../lib/order/queues.ts';
import type { PushTables } from '../../lib/order/tables.ts';
import { deliverBy, queueChannel } from '../../lib/platform/messaging/outbox.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { resetDatabases, rowsOf, run } from '../support/databases.ts';
import { take, testQueue } from '../support/queues.ts';

const queue = await testQueue(pushesToSend);
const own = mysql<PushTables>('mysql');
afterAll(() => own.destroy());

const past = 400_000;
const open = 16_000;

/** A long history, and pushes of an outage that are open; all of them are over ten minutes old. */
beforeAll(async () => {
  await resetDatabases();
  await run(`set session cte_max_recursion_depth = 20000;
    insert into push_db.push (push_id, order_id, scenario, receiver_type, receiver_id, channel, content, status_after,
      changed_at, late_from, state, created_at)
    with recursive n as (select 0 n union all select n + 1 from n where n < 19999)
    select sha2(concat(n, ' ', m), 256), n * 20 + m, 8, 'patient', 1, 'wechat', 'x', 'PENDING_SERVICE',
      now(3), now(3), 'sent', now(3) - interval 3 day - interval n second
    from n, (${Array.from({ length: 20 }, (_, m) => `select ${m} m`).join(' union all ')}) ms
    order by n`);
  await run(`update push_db.push set state = if(order_id % 2, 'unsent', 'in hand'),
    created_at = now(3) - interval 1 hour where order_id >= ${past - open}; analyze table push_db.push`);
}, 120_000);

/** Entries of indexes and tables that the server read for it. */
async function reads(work: (mysql: Kysely<PushTables>) => Promise<unknown>): Promise<number> {
  return await own.connection().execute(async (connection) => {
    const count = async () => {
      const { rows } = await sql<{ Value: string }>`
        show session status where variable_name like 'Handler_read%'`.execute(connection);
      return rows.reduce((sum, { Value }) => sum + Number(Value), 0);
    };
    const first = await count();
    const forCounting = (await count()) - first;
    const before = first + forCounting;
    await work(connection);
    return (await count()) - before - forCounting;
  });
}

const look = (connection: Kysely<PushTables>) =>
  requeueStuckPushes({
    mysql: connection,
    deliver: deliverBy(queueChannel(pushesToSend)),
    settings: async () => ({ stuckAfterMinutes: 10 }),
  });

test('a look for stuck pushes reads a few thousand entries, whatever is open or past', async () => {
  // Each of them waits for its time: none is stuck.
  await run(`insert into signalbox.outbox (destination, body, due_at, dedupe_key)
    select 'queue:order/push-change', concat('{"order_id":"', order_id, '"}'), now(3) + interval 1 hour,
      unhex(sha2(concat('queue:order/push-change\\n{"order_id":"', order_id, '"}'), 256))
    from push_db.push where state <> 'sent' and order_id <> ${past - 1}`);
  let found = 0;
  for (let turn = 0; turn < open / 1_000 + 1; turn++) {
    const count = await reads(async (connection) => {
      found += await look(connection);
    });
    expect(count).toBeLessThan(5_000);
  }
  expect(found).toBe(1);
  expect((await take(queue)).map(({ Body }) => Body)).toEqual([`{"order_id":"${past - 1}"}`]);
}, 120_000);

test('the next push of an order is found among the pushes of that order', async () => {
  const firstSwitchOff = async () => undefined;
  const count = await reads(async (connection) => {
    const order_id = String(past - 1);
    expect(
      await leaseNextPush({ mysql: connection, firstSwitchOff: firstSwitchOff }, order_id),
    ).toMatchObject({
      state: 'in hand',
    });
    expect(await leaseNextPush({ mysql: connection, firstSwitchOff: firstSwitchOff }, '5')).toBe(
      'none left',
    );
  });
  expect(count).toBeLessThan(50);
});

test('the age of the oldest open push is one entry of an index for each state', async () => {
  let seconds = 0;
  const count = await reads(async (connection) => {
    seconds = await oldestUnsentSeconds(connection);
  });
  expect(seconds).toBeGreaterThanOrEqual(3_600);
  expect(count).toBeLessThan(20);
  await run("update push_db.push set state = 'sent'");
  expect(await oldestUnsentSeconds(own)).toBe(0);
  expect(await rowsOf('select name from push_db.stuck_look')).toHaveLength(1);
}, 60_000);
