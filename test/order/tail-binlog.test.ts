import { beforeEach, expect, test } from 'vitest';
import { pushesToSend } from '../../lib/order/queues.ts';
import { resetDatabases, rowsOf, run } from '../support/databases.ts';
import { contextOf, eventOf } from '../support/lambda.ts';
import { take, testQueue } from '../support/queues.ts';

const queue = await testQueue(pushesToSend);
const { handler } = await import('../../functions/order/tail-binlog.ts');

/** A run that may read for `ms`. */
const tick = (ms = 700) => handler(eventOf('order/tail-binlog', 'minute'), contextOf(5_000 + ms));
const order = (id: number, status: string, nurse: number | null = 55) =>
  run(
    "insert into order_db.`order` (order_id, patient_id, nurse_id, status, changed_by) values (?, 98, ?, ?, 'patient')",
    [...[id, nurse, status]],
  );
const become = (id: number, status: string, by: string) =>
  run(
    'update order_db.`order` set status = ?, changed_by = ?, updated_at = now(3) where order_id = ?',
    [...[status, by, id]],
  );
const pushes = async () =>
  (await rowsOf('select order_id, scenario from push_db.push order by sequence')).map(
    ({ order_id, scenario }) => [Number(order_id), scenario],
  );

beforeEach(async () => {
  await resetDatabases();
  await take(queue);
  await tick(100);
});

test('a change that a scenario names becomes a push, with a nudge', async () => {
  await order(1, 'PENDING_ACCEPT');
  await become(1, 'PENDING_SERVICE', 'nurse');
  await tick();
  expect(await pushes()).toEqual([[1, 8]]);
  expect((await take(queue)).map(({ Body }) => Body)).toEqual(['{"order_id":"1"}']);
  expect(await rowsOf('select order_id, status from push_db.order_seen')).toEqual([
    { order_id: '1', status: 'PENDING_SERVICE' },
  ]);
});
