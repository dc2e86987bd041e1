import { afterAll, beforeEach, expect, test } from 'vitest';
import { repairGap } from '../../lib/order/binlog/repair-gap.ts';
import { sendDecision } from '../../lib/order/pushes/push-expiry.ts';
import { pushesToSend } from '../../lib/order/queues.ts';
import { resetDatabases, rowsOf, run, serverOfWorker } from '../support/databases.ts';
import { contextOf, eventOf } from '../support/lambda.ts';
import {
  became,
  binlogAt,
  checkpoint,
  orderDatabase,
  placed,
  pushed,
  readAll,
  readerOf,
  timeFor,
} from '../support/orders.ts';
import { take, testQueue } from '../support/queues.ts';

const queue = await testQueue(pushesToSend);
const { handler } = await import('../../functions/order/repair-gap.ts');
const reader = readerOf(binlogAt());
const deps = { ...reader, order: orderDatabase(serverOfWorker()) };
afterAll(async () => {
  await deps.order.destroy();
  await reader.mysql.destroy();
});

const all = eventOf<{ by: string; why: string }>('order/repair-gap', 'all');
const repair = (input: object = all, ms = 20_000) => handler(input, contextOf(5_000 + ms));
const read = () => readAll(reader);

/** The binlog up to here is gone. */
async function purge(): Promise<void> {
  await run('flush binary logs');
  const [{ File } = {}] = await rowsOf('show master status');
  await run(`purge binary logs to '${File}'`);
}

beforeEach(async () => {
  await resetDatabases();
  await take(queue);
  await read();
});

test('repair-gap pushes or lists what a purged binlog lost, and the reader resumes', async () => {
  for (const id of [1, 2, 3, 4]) await placed(id, 'PENDING_ACCEPT');
  await read();
  await became(1, 'PENDING_SERVICE', 'nurse');
  await became(2, 'CANCELLED', 'support');
  await became(4, 'PENDING_SERVICE', 'nurse');
  await became(4, 'IN_SERVICE', 'nurse');
  await placed(5, 'PAYING');
  await purge();
  await expect(read()).rejects.toThrow(/Lost/);
  expect(await repair()).toMatchObject({
    ...{ outcome: 'repaired', compared: 5, pushes: 1, unseenCount: 1, unexplainedCount: 2 },
    lost: expect.stringMatching(/^[0-9a-f-]{36}:\d/),
    unseen: ['5'],
    unexplained: [
      { order_id: '2', seen: 'PENDING_ACCEPT', is: 'CANCELLED', by: 'support' },
      { order_id: '4', seen: 'PENDING_ACCEPT', is: 'IN_SERVICE', by: 'nurse' },
    ],
  });
  expect(await pushed()).toEqual([[1, 8]]);
  expect((await take(queue)).map(({ Body }) => Body)).toEqual(['{"order_id":"1"}']);
  expect(await rowsOf('select who, what, why from signalbox.audit order by id')).toEqual([
    { who: all.by, what: 'order/repair', why: all.why },
    { who: all.by, what: 'order/repair-end', why: all.why },
  ]);
  await became(5, 'PENDING_ACCEPT', 'patient');
  expect(await read()).toMatchObject({ pushes: 1 });
  expect(await pushed()).toEqual([
    [1, 8],
    [5, 2],
  ]);
});

test('a gap that is repaired days late: its pushes are as old as the changes, and too old to be sent', async () => {
  for (const id of [1, 2]) await placed(id, 'PENDING_ACCEPT');
  await read();
  await became(1, 'PENDING_SERVICE', 'nurse');
  await became(2, 'PENDING_SERVICE', 'nurse');
  await run('update order_db.`order` set updated_at = now() - interval 3 day where order_id = 1');
  // The clock of the order system is ahead.
  await run('update order_db.`order` set updated_at = now() + interval 3 day where order_id = 2');
  await purge();
  await repair();
  const [old, ahead] =
    await rowsOf(`select p.*, timestampdiff(second, o.updated_at, p.changed_at) off,
      timestampdiff(second, now(), p.changed_at) ahead
    from push_db.push p join order_db.\`order\` o using (order_id) order by order_id`);
  expect(old).toMatchObject({ off: '0', late_from: old?.['changed_at'] });
  expect(Number(ahead?.['ahead'])).toBeLessThanOrEqual(0);
  expect(Number(ahead?.['ahead'])).toBeGreaterThan(-60);
  const verdict = (push: typeof old) => sendDecision(push as never, new Date(), 'PENDING_SERVICE');
  expect([verdict(old), verdict(ahead)]).toEqual(['too old', 'send']);
});

test('repair-gap keeps the checkpoint and writes no push twice when nothing is lost', async () => {
  await placed(1, 'PENDING_ACCEPT');
  await read();
  // Not read yet: the reader's, whoever comes first.
  await became(1, 'PENDING_SERVICE', 'nurse');
  const before = await checkpoint();
  expect(await repair()).toMatchObject({ compared: 1, pushes: 0, unexplainedCount: 0 });
  expect(await checkpoint()).toMatchObject({ file: before['file'], position: before['position'] });
  await read();
  expect(await repair()).toMatchObject({ compared: 1, pushes: 0 });
  expect(await pushed()).toEqual([[1, 8]]);
});

test('an order that was missed is found, once, however often it is looked for', async () => {
  await placed(1, 'PENDING_ACCEPT');
  await read();
  await run("update push_db.order_seen set status = 'PAYING'");
  await run("update order_db.`order` set changed_by = 'system'");
  await read();
  await run("update push_db.order_seen set status = 'PAYING'");
  expect(await repair()).toMatchObject({ pushes: 1 });
  expect(await repair()).toMatchObject({ pushes: 0 });
  expect(await pushed()).toEqual([[1, 2]]);
});

test('changes while it runs belong to the reader: nothing is missed, nothing pushed twice', async () => {
  const count = 1_200;
  await run(`set session cte_max_recursion_depth = ${count + 1};
    insert into order_db.\`order\` (order_id, patient_id, status, changed_by)
    with recursive n as (select 1 id union all select id + 1 from n where id < ${count}) select id, id, 'PENDING_ACCEPT', 'patient' from n`);
  await read();
  await run(
    "update order_db.`order` set status = 'PENDING_SERVICE', changed_by = 'nurse' where order_id <= 600",
  );
  await purge();
  // It pauses when it has chosen the place at which orders are compared.
  const begun = Promise.withResolvers<void>();
  const pause = async () => begun.resolve();
  const repairing = repairGap(
    { ...deps, pause },
    { ...all, pass: false },
    { ...timeFor(20_000), progress: () => {} },
  );
  await begun.promise;
  for (let id = 1; id <= 1_200; id += 7) {
    await became(id, 'PENDING_SERVICE', 'nurse');
    await became(id, 'IN_SERVICE', 'nurse');
  }
  expect(await repairing).toMatchObject({ outcome: 'repaired', compared: count });
  await read();
  const counts = await rowsOf(
    'select scenario, count(*) pushes, count(distinct order_id) orders from push_db.push group by scenario order by scenario',
  );
  const moved = Math.ceil(count / 7);
  const both = Array.from({ length: moved }, (_, index) => 1 + index * 7).filter(
    (id) => id > 600,
  ).length;
  expect(counts).toEqual([
    { scenario: 8, pushes: String(600 + both), orders: String(600 + both) },
    { scenario: 13, pushes: String(moved), orders: String(moved) },
  ]);
}, 60_000);

test('repair-gap skips unreadable events when `pass` is set', async () => {
  await placed(1, 'PENDING_ACCEPT');
  await read();
  await run("set session binlog_format = 'STATEMENT'");
  await became(1, 'PENDING_SERVICE', 'nurse');
  await run('set session binlog_format = default');
  await expect(read()).rejects.toThrow(/changed by a statement/);
  expect(await repair({ ...all, pass: true })).toMatchObject({ outcome: 'repaired', pushes: 1 });
  expect(await read()).toMatchObject({ outcome: 'nothing-new' });
  expect(await pushed()).toEqual([[1, 8]]);
});

test('repair-gap resumes where it ran out of time', async () => {
  const count = 1_600;
  await run(`set session cte_max_recursion_depth = ${count + 1};
    insert into order_db.\`order\` (order_id, patient_id, status, changed_by)
    with recursive n as (select 1 id union all select id + 1 from n where id < ${count}) select id, id, 'PENDING_ACCEPT', 'patient' from n`);
  await read();
  await run("update order_db.`order` set status = 'PENDING_SERVICE', changed_by = 'nurse'");
  await purge();
  let pages = 0;
  const hand = { remaining: () => (pages >= 1 ? 0 : 30_000), progress: () => void pages++ };
  const broken = await repairGap(deps, { ...all, pass: false }, hand);
  expect(broken).toMatchObject({ outcome: 'unfinished', compared: 500, pushes: 500 });
  expect(await repair((broken as { resume?: object }).resume)).toMatchObject({
    outcome: 'repaired',
    compared: 1_100,
    pushes: 1_100,
  });
  expect(await rowsOf('select count(*) pushes from push_db.push')).toEqual([{ pushes: '1600' }]);
  expect(await read()).toMatchObject({ outcome: 'nothing-new' });
});

test('unknown fields are refused before anything is done', async () => {
  await expect(repair({ ...all, from: 7 })).rejects.toThrow(/Unrecognized key: "from"/);
  await expect(repair({ by: 'x' })).rejects.toThrow(/why/);
});
