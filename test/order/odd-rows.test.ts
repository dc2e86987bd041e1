import { createServer } from 'node:http';
import fc from 'fast-check';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { repairGap } from '../../lib/order/binlog/repair-gap.ts';
import { pushChange } from '../../lib/order/pushes/push-change.ts';
import { scenarioOf } from '../../lib/order/pushes/scenarios.ts';
import { singerAt } from '../../lib/order/pushes/singer.ts';
import { pushesToSend } from '../../lib/order/queues.ts';
import { resetDatabases, rowsOf, run, serverOfWorker } from '../support/databases.ts';
import { contextOf, sqsEvent } from '../support/lambda.ts';
import {
  type Column,
  columnsOf,
  everyOddMessage,
  everyOddRow,
  loosened,
  type OddRow,
  oddMessage,
  oddRow,
  oddValuesOf,
  writeRow,
} from '../support/odd-values.ts';
import { binlogAt, orderDatabase, readAll, readerOf, timeFor } from '../support/orders.ts';
import { controlSinger, shown, writePush } from '../support/pushes.ts';
import { take, testDeadLetterQueue, testQueue } from '../support/queues.ts';

const queue = await testQueue(pushesToSend);
await testDeadLetterQueue(pushesToSend);
const { handler: push } = await import('../../functions/order/push-change.ts');
const reader = readerOf(binlogAt());
const deps = { ...reader, order: orderDatabase(serverOfWorker()) };
afterAll(async () => {
  await deps.order.destroy();
  await reader.mysql.destroy();
});

const table = 'order_db.order';
const columns = await columnsOf(table);
const good = (order_id: number | string, status = 'PENDING_ACCEPT'): OddRow => ({
  ...Object.fromEntries(columns.map(({ name }) => [name, null])),
  ...{ order_id, patient_id: 98, nurse_id: 55, status, changed_by: 'nurse' },
  ...{ created_at: '2026-11-01 10:00:00', updated_at: '2026-11-01 10:00:00' },
});
const accepted = (order_id: number | string) => good(order_id, 'PENDING_SERVICE');
const goodOrders = [900_001, 900_002, 900_003];

beforeEach(async () => {
  await resetDatabases();
  await take(queue);
  await readAll(reader);
});

/** Orders before a change and after it; the odd ones stand between the good ones. */
async function change(odd: readonly OddRow[]): Promise<void> {
  for (const { order_id } of odd) await writeRow(table, good(String(order_id)));
  for (const id of goodOrders) await writeRow(table, good(id));
  await readAll(reader);
  const [first, second, third] = goodOrders.map(accepted);
  const half = Math.ceil(odd.length / 2);
  for (const row of [first, ...odd.slice(0, half), second, ...odd.slice(half), third])
    if (row) await update(row);
}

async function update({ order_id, ...row }: OddRow): Promise<void> {
  await run("set @mode = @@sql_mode; set sql_mode = 'STRICT_ALL_TABLES'");
  await run('update order_db.`order` set ? where order_id = ?', [row, order_id]);
  await run('set sql_mode = @mode');
}

const idMax = 2n ** 63n - 1n;
const isId = (value: unknown) => {
  const id = BigInt(String(value));
  return id > 0n && id <= idMax;
};

/** What must be there of an order, whatever else its row holds. */
const expectedOf = (rows: readonly OddRow[]) =>
  rows
    .filter(({ order_id, status, changed_by }) => {
      const scenario = scenarioOf('PENDING_ACCEPT', String(status), String(changed_by));
      return isId(order_id) && scenario;
    })
    .map(({ order_id, patient_id }) => {
      const known = /^\d+$/.test(String(patient_id)) && isId(patient_id);
      const receiver_id = known ? String(patient_id) : null;
      return { order_id: String(order_id), receiver_id, state: known ? 'unsent' : 'no receiver' };
    })
    .toSorted((a, b) => Number(BigInt(a.order_id) - BigInt(b.order_id)));

const pushesThere = () =>
  rowsOf('select order_id, receiver_id, state from push_db.push order by order_id');
const unwritableIn = (odd: readonly OddRow[]) =>
  odd.flatMap(({ order_id }) => (isId(order_id) ? [] : [String(order_id)])).toSorted();

/** Each column with each of its odd values, under an id of its own but for those of the key. */
const everyOdd = (): readonly OddRow[] =>
  everyOddRow(columns, accepted(1)).map(({ column, row }, index) => ({
    ...row,
    order_id: column === 'order_id' ? (row['order_id'] ?? 0) : 1_000 + index,
  }));

test('the reader: no odd value of any column of the order table changes what the others cause', async () => {
  await loosened(table, async () => {
    const odd = everyOdd();
    await change(odd);
    const { unwritable = [] } = (await readAll(reader)) as { unwritable?: { order_id: string }[] };
    expect(await pushesThere()).toEqual(expectedOf([...odd, ...goodOrders.map(accepted)]));
    expect(unwritable.map(({ order_id }) => order_id).toSorted()).toEqual(unwritableIn(odd));
  });
}, 120_000);

test('order/repair-gap: no odd value of any column of the order table changes what the others cause', async () => {
  await loosened(table, async () => {
    const odd = everyOdd();
    await change(odd);
    await run('flush binary logs');
    const [{ File } = {}] = await rowsOf('show master status');
    await run(`purge binary logs to '${File}'`);
    const input = { by: 'a', why: 'b', pass: false };
    const repaired = await repairGap(deps, input, { ...timeFor(20_000), progress: () => {} });
    expect(repaired).toMatchObject({
      outcome: 'repaired',
      unwritableCount: unwritableIn(odd).length,
    });
    expect(await pushesThere()).toEqual(expectedOf([...odd, ...goodOrders.map(accepted)]));
    expect(await readAll(reader)).toMatchObject({ outcome: 'nothing-new' });
  });
}, 120_000);

test('rows that are odd in several columns at once change nothing of what the others cause', async () => {
  await loosened(table, async () => {
    const keys = columns.filter(({ isKey }) => isKey).flatMap((key: Column) => oddValuesOf(key));
    const ids = fc.oneof(fc.constantFrom(...keys), fc.integer({ min: 1, max: 1_000 }));
    const row = fc.tuple(oddRow(columns, { order_id: 0 }), ids).map(([one, order_id]) => ({
      ...one,
      order_id: order_id ?? 1,
    }));
    const rows = fc.uniqueArray(row, {
      maxLength: 12,
      selector: ({ order_id }) => String(order_id),
    });
    await fc.assert(
      fc.asyncProperty(rows, async (odd) => {
        await run('truncate order_db.`order`; truncate push_db.push; truncate push_db.order_seen');
        await change(odd);
        await readAll(reader);
        expect(await pushesThere()).toEqual(expectedOf([...odd, ...goodOrders.map(accepted)]));
      }),
      { numRuns: 8 },
    );
  });
}, 120_000);

/** SQS takes no other characters: what has them cannot be on a queue. */
const isSendable = (body: string): boolean =>
  /^[\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]*$/u.test(body);

test('the queue: no odd message changes what becomes of the others of its batch', async () => {
  await controlSinger('/__reset');
  const messages = everyOddMessage({ order_id: 7001 }).filter(({ message }) =>
    isSendable(JSON.stringify(message)),
  );
  for (let start = 0; start < messages.length; start += 9) {
    const order = 8_000 + start;
    const push_id = await writePush({ scenario: 8, order });
    const odd = messages.slice(start, start + 9).map(({ message }) => message);
    const batch = sqsEvent(...odd.slice(0, 4), { order_id: order }, ...odd.slice(4));
    expect(await push(batch, contextOf(60_000))).toEqual({ batchItemFailures: [] });
    expect((await shown()).at(-1)).toMatchObject({ push_id });
  }
}, 60_000);

test('the queue: an id that a message may have is a whole number of at most 19 digits', () => {
  fc.assert(
    fc.property(oddMessage({ order_id: 7001 }), ({ message }) => {
      const read = pushesToSend.schema.safeParse(message);
      if (read.success) expect(read.data.order_id).toMatch(/^[1-9]\d{0,18}$/);
    }),
  );
});

test('Singer: whatever it calls a push that it has shown, the push is sent and the next one follows', async () => {
  const answers = everyOddMessage({ message_id: 'x'.repeat(101) })
    .filter(({ message }) => !('code' in message))
    .map(({ message }) => ({ code: 0, ...message }));
  const asked: string[] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    const { push_id } = JSON.parse(body) as { push_id: string };
    asked.push(push_id);
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(answers[asked.length - 1]));
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const address = server.address();
  const singer_url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
  const pushing = {
    ...{ mysql: reader.mysql, deliver: async () => [], firstSwitchOff: async () => undefined },
    ...{ settings: async () => ({ singer_url }), singerAt: singerAt() },
  };
  try {
    const ids: string[] = [];
    for (const _ of answers) ids.push(await writePush({ scenario: 8 }));
    for (let turn = 0; turn <= answers.length; turn += 10)
      await pushChange(pushing, { order_id: '7001' });
    expect(asked).toEqual(ids);
    expect(await rowsOf('select state, count(*) pushes from push_db.push group by state')).toEqual([
      { state: 'sent', pushes: String(answers.length) },
    ]);
  } finally {
    server.close();
    server.closeAllConnections();
  }
}, 60_000);

test('Singer: a message id of 101 characters is kept as far as it fits', async () => {
  const said = { kind: 'sent', messageId: `${'王😀'.repeat(50)}` } as const;
  const answering = {
    ...{ mysql: reader.mysql, deliver: async () => [], firstSwitchOff: async () => undefined },
    ...{
      settings: async () => ({ singer_url: 'http://127.0.0.1:1' }),
      singerAt: () => async () => said,
    },
  };
  await writePush({ scenario: 8 });
  expect(await pushChange(answering, { order_id: '7001' })).toMatchObject({ outcome: 'sent' });
  expect(await rowsOf('select state, message_id from push_db.push')).toEqual([
    { state: 'sent', message_id: said.messageId },
  ]);
});
