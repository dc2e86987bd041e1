import { Readable } from 'node:stream';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { pushesToSend } from '../../lib/order/queues.ts';
import { connect } from '../../local/mysql.ts';
import { resetDatabases, rowsOf, run, serverOfWorker } from '../support/databases.ts';
import {
  became,
  binlogAt,
  checkpoint,
  placed,
  pushed,
  readAll,
  readerOf,
} from '../support/orders.ts';
import { testQueue } from '../support/queues.ts';

await testQueue(pushesToSend);
const reader = readerOf(binlogAt());
afterAll(() => reader.mysql.destroy());
const read = () => readAll(reader);

/** Statements as a session writes them that has set binlog_format for itself. */
async function asStatements(sql: string): Promise<void> {
  await run('set session binlog_format = STATEMENT');
  try {
    await run(sql);
  } finally {
    await run('set session binlog_format = default; use order_db');
  }
}

beforeEach(async () => {
  await resetDatabases();
  await run(
    'create schema if not exists shop; create table if not exists shop.notes (id int primary key auto_increment, what text); use order_db',
  );
  await placed(1, 'PENDING_ACCEPT');
  await read();
});
afterAll(() => run('drop schema if exists shop'));

const change = "set status = 'PENDING_SERVICE', changed_by = 'nurse'";

test.each([
  [
    'a checksum of the order table',
    "replace into shop.notes select 1, bit_xor(crc32(concat_ws('#', order_id, status))) from order_db.order",
  ],
  ['old lines of a log', 'delete from order_log order by id limit 10'],
  [
    'the word in a text',
    `insert into shop.notes (what) values ('update order_db.order ${'x'.repeat(300)}')`,
  ],
  [
    'the word in a comment',
    'insert into shop.notes (what) /* into order_db.order */ values (1) -- order',
  ],
  [
    'a copy of a status',
    'update order_log l join order_db.`order` o on o.order_id = l.order_id set l.what = o.status',
  ],
  [
    'rows of a file whose name is that',
    "insert into shop.notes (what) select 'order_db.order' from order_log",
  ],
  [
    'a procedure that begins a transaction',
    'drop procedure if exists shop.p; create procedure shop.p() start transaction',
  ],
])('%s, written as a statement, keeps no change from being read', async (_, sql) => {
  await asStatements(sql);
  await became(1, 'PENDING_SERVICE', 'nurse');
  const before = await checkpoint();
  expect(await read()).toMatchObject({ outcome: 'pushed', changes: 1 });
  expect(await pushed()).toEqual([[1, 8]]);
  expect((await checkpoint())['gtid_set']).not.toBe(before['gtid_set']);
});

test.each([
  ['its name', `update order_db.order ${change}`],
  ['its name after a comment', `-- nightly\nupdate order_db.order ${change}`],
  ['code in a comment', `/*!40000 update */ order_db.order ${change}`],
  [
    'a common table',
    `with one as (select 1 id) update \`order\` join one on id = order_id ${change}`,
  ],
  [
    'a join',
    `update order_log l right join \`order\` o using (order_id) ${change.replace('set ', 'set o.')}`,
  ],
  ['a view', `create or replace view paid as select * from \`order\`; update paid ${change}`],
  [
    'a view of another schema',
    `create or replace view shop.paid as select * from order_db.order; use shop; update paid ${change}`,
  ],
  [
    'a trigger of a table beside it',
    `create trigger noted after insert on order_log for each row update \`order\` ${change};
     insert into order_log (order_id, what) values (1, 'accepted')`,
  ],
  [
    'a trigger of another schema',
    `create trigger shop.noted after insert on shop.notes for each row update order_db.order ${change};
     use shop; insert into notes (what) values ('accepted')`,
  ],
])('orders that a statement changes by %s: the reader stops and names it', async (_, sql) => {
  try {
    await asStatements(sql);
    expect(await rowsOf('select status from order_db.`order`')).toEqual([
      { status: 'PENDING_SERVICE' },
    ]);
    await expect(read()).rejects.toThrow(/order_db.order was changed by a statement.*It was: /s);
    expect(await pushed()).toEqual([]);
  } finally {
    await run('drop trigger if exists order_db.noted; drop trigger if exists shop.noted');
    await run('drop view if exists order_db.paid; drop view if exists shop.paid');
  }
});

test('rows of a file that are loaded as a statement stop the reader', async () => {
  await run('set global local_infile = on');
  const session = await connect(serverOfWorker());
  try {
    await session.query('set session binlog_format = STATEMENT');
    await session.query({
      sql: `load data local infile 'orders' into table order_db.order (order_id, patient_id, status, changed_by)`,
      infileStreamFactory: () => Readable.from([Buffer.from('2\t98\tPAYING\tpatient\n')]),
    });
    expect(await rowsOf('select order_id from order_db.`order`')).toHaveLength(2);
    await expect(read()).rejects.toThrow(/changed by a statement/);
  } finally {
    session.destroy();
    await run('set global local_infile = default');
  }
});

test('a view that was made before the reader began is known', async () => {
  await run('create view order_db.paid as select * from `order`');
  try {
    await read();
    await run('truncate push_db.binlog_checkpoint');
    await read();
    await asStatements(`update paid ${change}`);
    await expect(read()).rejects.toThrow(/changed by a statement/);
  } finally {
    await run('drop view order_db.paid');
  }
});

test('a statement that may have changed orders by a trigger that cannot be seen is named', async () => {
  await asStatements("insert into order_log (order_id, what) values (1, 'seen')");
  expect(await read()).toMatchObject({
    unclear: ["insert into order_log (order_id, what) values (1, 'seen')"],
  });
});
