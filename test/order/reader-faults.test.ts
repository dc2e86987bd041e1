import { createServer, connect as dial, type Server, type Socket } from 'node:net';
import { CompiledQuery, Kysely, MysqlDialect } from 'kysely';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { checkBinlog } from '../../lib/order/binlog/check-binlog.ts';
import { repairGap } from '../../lib/order/binlog/repair-gap.ts';
import { tailBinlog } from '../../lib/order/binlog/tail-binlog.ts';
import { pushesToSend } from '../../lib/order/queues.ts';
import type { PushTables } from '../../lib/order/tables.ts';
import { session } from '../../lib/platform/mysql/mysql.ts';
import { renewedPool } from '../../lib/platform/mysql/mysql-pool.ts';
import { dateOf, pause } from '../../lib/platform/time.ts';
import { until } from '../../local/processes.ts';
import { users } from '../../local/users.ts';
import { resetDatabases, rowsOf, run, serverOfWorker } from '../support/databases.ts';
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
import { testQueue } from '../support/queues.ts';

await testQueue(pushesToSend);
const reader = readerOf(binlogAt());
const order = orderDatabase(serverOfWorker());
afterAll(async () => {
  await order.destroy();
  await reader.mysql.destroy();
});
const read = (deps = reader) => readAll(deps);
const check = () =>
  checkBinlog({
    ...{ mysql: reader.mysql, order, direct: async () => true, pause: async () => {} },
    settings: async () => ({ retentionHoursMin: 72 }),
  });
const repair = (pass = false) =>
  repairGap(
    { ...reader, order },
    { by: 'a', why: 'b', pass },
    { ...timeFor(20_000), progress: () => {} },
  );

beforeEach(async () => {
  await resetDatabases();
  await read();
});

const accept = (id: number) =>
  `update order_db.\`order\` set status = 'PENDING_SERVICE', changed_by = 'nurse' where order_id = ${id}`;
const prepare = (name: string, statement: string) =>
  run(`xa start '${name}'; ${statement}; xa end '${name}'; xa prepare '${name}'`);
const noted = 'select xid from push_db.prepared_transaction';

test('an order without a patient has no receiver; another order beside it is pushed', async () => {
  await run('alter table order_db.`order` modify patient_id bigint null');
  try {
    for (const id of [1, 2]) await placed(id, 'PENDING_ACCEPT');
    await run('update order_db.`order` set patient_id = null where order_id = 1');
    await run(`begin; ${accept(1)}; ${accept(2)}; commit`);
    expect(await read()).toMatchObject({ outcome: 'pushed', pushes: 2 });
    expect(
      await rowsOf('select order_id, receiver_id, state from push_db.push order by order_id'),
    ).toEqual([
      { order_id: '1', receiver_id: null, state: 'no receiver' },
      { order_id: '2', receiver_id: '98', state: 'unsent' },
    ]);
  } finally {
    await run(
      'truncate order_db.`order`; alter table order_db.`order` modify patient_id bigint not null',
    );
  }
});

test('an order that no message can name is listed, and the others are pushed', async () => {
  for (const id of [-5, 0, 1]) await placed(id, 'PENDING_ACCEPT');
  await run("update order_db.`order` set status = 'PENDING_SERVICE', changed_by = 'nurse'");
  expect(await read()).toMatchObject({
    ...{ outcome: 'pushed', pushes: 1, 'unwritable count': 4 },
    unwritable: ['-5', '0', '-5', '0'].map((order_id) => expect.objectContaining({ order_id })),
  });
  expect(await pushed()).toEqual([[1, 8]]);
  expect(await repair()).toMatchObject({
    compared: 1,
    unwritable: ['-5', '0'],
    unwritableCount: 2,
  });
});

test('an XA transaction that was prepared before the first run is named when it commits, until repair-gap has run', async () => {
  await placed(1, 'PENDING_ACCEPT');
  await read();
  await run('truncate push_db.binlog_checkpoint');
  await prepare('early', accept(1));
  await read();
  expect(await check()).toMatchObject({ outcome: 'fit' });
  await run("xa commit 'early'");
  expect(await read()).toMatchObject({
    outcome: 'nothing-new',
    missed: [{ xid: "X'6561726c79',X'',1", place: expect.stringMatching(/^[0-9a-f-]{36}:\d+$/) }],
  });
  expect(await pushed()).toEqual([]);
  expect(await check()).toMatchObject({
    outcome: 'lost',
    wrong: [expect.stringMatching(/XA transaction X'6561726c79'.*Run order\/repair-gap/)],
  });
  expect(await repair()).toMatchObject({ outcome: 'repaired', pushes: 1 });
  expect(await check()).toMatchObject({ outcome: 'fit' });
  expect(await pushed()).toEqual([[1, 8]]);
});

test('an XA transaction that was prepared before a place that repair-gap passed is named when it commits', async () => {
  await placed(1, 'PENDING_ACCEPT');
  await read();
  await prepare('passed', accept(1));
  expect(await repair(true)).toMatchObject({ outcome: 'repaired', pushes: 0 });
  await run("xa commit 'passed'");
  expect(await read()).toMatchObject({ missed: [{ xid: "X'706173736564',X'',1" }] });
  expect(await repair()).toMatchObject({ outcome: 'repaired', pushes: 1 });
});

test('XA transactions that were read when they were prepared are not named, with or without orders', async () => {
  await placed(1, 'PENDING_ACCEPT');
  await prepare('orders', accept(1));
  await prepare('logs', "insert into order_db.order_log (order_id, what) values (1, 'x')");
  await prepare('nothing', 'select 1');
  await read();
  expect(await rowsOf(noted)).toEqual([
    { xid: "X'6c6f6773',X'',1" },
    { xid: "X'6f7264657273',X'',1" },
  ]);
  await run("xa commit 'logs'; xa commit 'orders'; xa commit 'nothing'");
  await prepare('quick', accept(1));
  await run("xa commit 'quick'");
  const seen = await read();
  expect(seen).toMatchObject({ outcome: 'pushed', pushes: 1 });
  expect(seen).not.toHaveProperty('missed');
  expect(await rowsOf(noted)).toEqual([]);
  expect(await check()).toMatchObject({ outcome: 'fit' });
});

test('a REPLACE that hits a second unique key pushes nothing, and is named', async () => {
  await run('alter table order_db.`order` add column order_no varchar(20) null unique');
  try {
    const replace = (id: number, status: string) =>
      run(
        'replace into order_db.`order` (order_id, patient_id, nurse_id, status, changed_by, order_no) values (?, 98, 55, ?, ?, ?)',
        [id, status, 'nurse', 'A'],
      );
    await replace(1, 'PENDING_ACCEPT');
    await replace(1, 'PENDING_SERVICE');
    expect(await read()).toMatchObject({
      outcome: 'nothing-new',
      replaced: [{ order_id: '1', scenario: 8, place: expect.stringMatching(/:2$/) }],
    });
    await replace(2, 'IN_SERVICE');
    await became(2, 'REFUNDING', 'nurse');
    expect(await read()).toMatchObject({ pushes: 1, replaced: [{ order_id: '2', scenario: 13 }] });
    expect(await pushed()).toEqual([[2, 5]]);
    expect(await rowsOf('select order_id, status from push_db.order_seen')).toEqual([
      { order_id: '2', status: 'REFUNDING' },
    ]);
  } finally {
    await run('truncate order_db.`order`; alter table order_db.`order` drop column order_no');
  }
});

test('a change is as old as its commit, whatever its session takes for the time', async () => {
  for (const id of [1, 2]) await placed(id, 'PENDING_ACCEPT');
  await run(`set timestamp = unix_timestamp() - 86400; ${accept(1)}`);
  await prepare('past', accept(2));
  await run("xa commit 'past'; set timestamp = default");
  await read();
  const [{ now } = {}] = await rowsOf('select now(3) now');
  const rows = await rowsOf('select changed_at from push_db.push');
  expect(rows).toHaveLength(2);
  for (const { changed_at } of rows) {
    const age = dateOf(String(now)).getTime() - dateOf(String(changed_at)).getTime();
    expect(age).toBeGreaterThanOrEqual(0);
    expect(age).toBeLessThan(60_000);
  }
  const { read_to } = await checkpoint();
  expect(dateOf(String(now)).getTime() - dateOf(String(read_to)).getTime()).toBeLessThan(60_000);
});

const gtids = async (...modes: string[]) => {
  for (const mode of modes) await run(`set global gtid_mode = ${mode}`);
};

test('GTIDs that are switched on after the first run are part of the checkpoint from the next transaction on', async () => {
  await gtids('ON_PERMISSIVE', 'OFF_PERMISSIVE', 'OFF');
  try {
    await run('truncate push_db.binlog_checkpoint');
    await read();
    await placed(1, 'PENDING_ACCEPT');
    await read();
    expect(await checkpoint()).toMatchObject({ gtid_set: null });
    // With ON the server sends no transaction any more that has none: what is left of them is read before.
    await gtids('OFF_PERMISSIVE', 'ON_PERMISSIVE');
    await read();
  } finally {
    await gtids('OFF_PERMISSIVE', 'ON_PERMISSIVE', 'ON');
  }
  await became(1, 'PENDING_SERVICE', 'nurse');
  await read();
  expect(await pushed()).toEqual([[1, 8]]);
  await coversAll();
});

test('a checkpoint at the end of the binlog takes up the GTIDs that it does not have yet', async () => {
  const source = binlogAt();
  const { from } = await source.find(undefined);
  const found = await source.find({ ...from, gtidSet: null });
  expect(found).toMatchObject({ by: 'position', from: { gtidSet: from.gtidSet } });
  await placed(1, 'PENDING_ACCEPT');
  expect((await source.find({ ...from, gtidSet: null })).from.gtidSet).toBe(null);
});

/** All transactions of the order tables are in the checkpoint's set. */
async function coversAll(): Promise<void> {
  const { gtid_set } = await checkpoint();
  const [row] = await rowsOf(
    'select gtid_subtract(@@global.gtid_executed, ?) left_, ? is null missing',
    [gtid_set, gtid_set],
  );
  // What the reader itself has written since stands after its place.
  expect(row).toMatchObject({
    missing: '0',
    left_: expect.stringMatching(/^([0-9a-f-]{36}:\d+(-\d+)?)?$/),
  });
}

/** A way to the worker's own server that can be closed: as if that were restarted. */
async function gate() {
  const { host, port } = serverOfWorker();
  const sockets = new Set<Socket>();
  const listener = (): Server =>
    createServer((client) => {
      const upstream = dial(port, host);
      for (const one of [client, upstream]) sockets.add(one.on('error', () => {}));
      client.pipe(upstream).pipe(client);
      client.on('close', () => upstream.destroy());
      upstream.on('close', () => client.destroy());
    });
  let server = listener();
  const listen = (at: number) =>
    new Promise<number>((listening) =>
      server.listen(at, '127.0.0.1', () => {
        const address = server.address();
        listening(typeof address === 'object' && address ? address.port : 0);
      }),
    );
  const at = await listen(0);
  return {
    port: at,
    shut: async () => {
      const closed = new Promise((done) => server.close(done));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
    open: async () => {
      server = listener();
      await listen(at);
    },
  };
}

test('our own MySQL is down for seconds while the reader runs: it continues from its checkpoint', async () => {
  const { port, shut, open } = await gate();
  const credentials = { host: '127.0.0.1', port, ...users.signalbox, ssl: false };
  const mysql = new Kysely<PushTables>({
    dialect: new MysqlDialect({
      pool: renewedPool(async () => credentials),
      onCreateConnection: async (connection) =>
        void (await connection.executeQuery(CompiledQuery.raw(session))),
    }),
  });
  try {
    await placed(1, 'PENDING_ACCEPT');
    let retries = 0;
    const pausing = async (ms: number) => {
      retries += 1;
      await pause(ms);
    };
    const reading = tailBinlog({ ...reader, mysql, pause: pausing }, timeFor(20_000));
    await until(
      'it is read',
      async () => (await rowsOf('select 1 from push_db.order_seen')).length > 0,
    );
    await shut();
    await became(1, 'PENDING_SERVICE', 'nurse');
    await until('it has tried twice', () => retries >= 2, { timeoutMs: 10_000 });
    await open();
    await until('the change is pushed', async () => (await pushed()).length > 0, {
      timeoutMs: 15_000,
    });
    await run(
      "insert into signalbox.claim (name, epoch, held_until) values ('order/tail-binlog:next', 1, now(3) + interval 5 second) on duplicate key update held_until = now(3) + interval 5 second",
    );
    expect(await reading).toMatchObject({ outcome: 'pushed', ended: 'asked to yield' });
  } finally {
    await shut();
    await mysql.destroy().catch(() => {});
  }
}, 60_000);
