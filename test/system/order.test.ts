import { SendMessageBatchCommand } from '@aws-sdk/client-sqs';
import type { RowDataPacket } from 'mysql2';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { pushFor } from '../../lib/order/pushes/new-push.ts';
import { connect } from '../../local/mysql.ts';
import { until } from '../../local/processes.ts';
import { pushIdOf } from '../support/pushes.ts';
import { sqs } from '../support/queues.ts';
import { started } from '../support/started.ts';

const { endpoints, mysql } = await started('stack');
const admin = await connect(mysql);
const singer = endpoints.simulators.singer;
const orders = Array.from({ length: 20 }, (_, index) => 800_001 + index);
/** Orders of these ids have their pushes in this order. */
const changes = [
  { before: 'PENDING_ACCEPT', after: 'PENDING_SERVICE', by: 'nurse' },
  { before: 'PENDING_SERVICE', after: 'IN_SERVICE', by: 'nurse' },
  { before: 'IN_SERVICE', after: 'SERVICE_COMPLETED', by: 'nurse' },
] as const;
const texts = changes.map((change) => {
  const row = pushFor({ ...change, ...idsOf(1, 0), changedAt: new Date() });
  return row === 'no scenario' ? row : row.content;
});

function idsOf(order: number, index: number) {
  const pushId = pushIdOf(`system ${order} ${index}`);
  return { pushId, order_id: String(order), patient_id: '98', nurse_id: '55' };
}

async function shown(): Promise<{ order_id: number; content: string }[]> {
  const response = await fetch(`${singer}/__state`);
  const { pushes } = (await response.json()) as {
    pushes: { order_id: number; content: string }[];
  };
  return pushes.filter(({ order_id }) => orders.includes(order_id));
}

beforeAll(async () => {
  const rows = changes.flatMap((change, index) =>
    orders.map((order) => pushFor({ ...change, ...idsOf(order, index), changedAt: new Date() })),
  );
  for (const row of rows) await admin.query('insert into push_db.push set ?', [row]);
});
afterAll(async () => {
  await admin.end();
});

test('the deployed function sends what it is told of, with no more rights than its role, once and in order', async () => {
  const faults = { mode: 'duplicate', times: 10 };
  await fetch(`${singer}/__faults`, { method: 'POST', body: JSON.stringify(faults) });
  const messages = [...orders, ...orders].map((order_id) => JSON.stringify({ order_id }));
  for (let start = 0; start < messages.length; start += 10)
    await sqs().send(
      new SendMessageBatchCommand({
        QueueUrl: endpoints.queues['order/push-change'],
        Entries: messages
          .slice(start, start + 10)
          .map((MessageBody, index) => ({ Id: `${index}`, MessageBody })),
      }),
    );
  const count = orders.length * changes.length;
  await until('all are shown', async () => (await shown()).length >= count, {
    timeoutMs: 100_000,
    pollMs: 200,
  });
  const pushes = await shown();
  for (const order of orders)
    expect(
      pushes.filter(({ order_id }) => order_id === order).map(({ content }) => content),
    ).toEqual(texts);
  const isLogged = async () => {
    const [[row]] = await admin.query<RowDataPacket[]>(
      `select count(*) logged from push_db.push_log
       where outcome = 'sent' and order_id between 800001 and 800020`,
    );
    return Number(row?.['logged']) === count;
  };
  await until('all are logged', isLogged);
  const isDelivered = async () => {
    const [left] = await admin.query<RowDataPacket[]>(
      "select 1 from signalbox.outbox where destination = 'event:order/pushed'",
    );
    return !left.length;
  };
  await until('all events are on the bus', isDelivered);
});
