import { createServer, connect as dial, type Server } from 'node:net';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { type CheckDeps, checkBinlog } from '../../lib/order/binlog/check-binlog.ts';
import { isDirectConnection } from '../../lib/order/binlog/proxy-check.ts';
import { pushesToSend } from '../../lib/order/queues.ts';
import type { PushTables } from '../../lib/order/tables.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { until } from '../../local/processes.ts';
import { users } from '../../local/users.ts';
import { logged } from '../support/captured-logs.ts';
import { resetDatabases, rowsOf, run, serverOfWorker } from '../support/databases.ts';
import { contextOf, eventOf } from '../support/lambda.ts';
import {
  binlogAt,
  checkpoint,
  orderDatabase,
  placed,
  readAll,
  readerOf,
} from '../support/orders.ts';
import { writePush } from '../support/pushes.ts';
import { testQueue } from '../support/queues.ts';

await testQueue(pushesToSend);
const { handler } = await import('../../functions/order/check-binlog.ts');
const own = mysql<PushTables>('mysql');
const order = orderDatabase(serverOfWorker());
const servers: Server[] = [];
afterAll(async () => {
  for (const server of servers) server.close();
  await own.destroy();
  await reader.mysql.destroy();
  await order.destroy();
});

const deps: CheckDeps = {
  mysql: own,
  order,
  settings: async () => ({ retentionHoursMin: 72 }),
  direct: async () => true,
  pause: async () => {},
};
const check = (other: Partial<CheckDeps> = {}) => checkBinlog({ ...deps, ...other });
const reader = readerOf(binlogAt());
const read = () => readAll(reader);

beforeEach(async () => {
  await resetDatabases();
  await read();
});

test('the handler of check-binlog finds a correctly configured server fit', async () => {
  let checked = false;
  const checking = logged(() =>
    handler(eventOf('order/check-binlog', 'five-minutes'), contextOf()),
  ).finally(() => {
    checked = true;
  });
  // It gives the reader fifteen seconds to get to where the server is: the reader goes on beside it.
  await until('it has checked', () => checked || read().then(() => checked), { pollMs: 250 });
  const lines = await checking;
  expect(lines).toContainEqual(expect.objectContaining({ wrong: [] }));
});

test('before the first run of the reader there is nothing to compare', async () => {
  await run('truncate push_db.binlog_checkpoint');
  expect(await check()).toEqual({ outcome: 'not-started', wrong: [] });
});

test.each([
  ['binlog_format', 'STATEMENT', 'ROW', /^binlog_format is STATEMENT: set it to ROW/],
  ['binlog_row_image', 'MINIMAL', 'FULL', /^binlog_row_image is MINIMAL: set it to FULL/],
  ['binlog_row_metadata', 'MINIMAL', 'FULL', /^binlog_row_metadata is MINIMAL: set it to FULL/],
  ['binlog_row_value_options', 'PARTIAL_JSON', '', /^binlog_row_value_options is PARTIAL_JSON/],
  ['binlog_transaction_compression', 'ON', 'OFF', /^binlog_transaction_compression is ON/],
  ['read_only', 'ON', 'OFF', /^read_only is ON: this is a reader/],
  [
    'binlog_expire_logs_seconds',
    3600,
    2592000,
    /kept 1 h: set binlog_expire_logs_seconds to 259200/,
  ],
])('%s = %s is named, with what to set', async (name, wrong, right, text) => {
  await run(`set global ${name} = ?`, [wrong]);
  try {
    const { outcome, wrong: named } = await check();
    expect(outcome).toBe('unfit');
    expect(named).toEqual([expect.stringMatching(text)]);
  } finally {
    await run(`set global ${name} = ?`, [right]);
  }
});

test.each([
  ['replication slave on *.*', /^REPLICATION SLAVE is not granted: grant/],
  ['replication client on *.*', /^REPLICATION CLIENT is not granted: grant/],
  ['select on order_db.*', /^SELECT is not granted: grant/],
])('without %s it is named', async (privilege, text) => {
  const user = `'${users.order.username}'@'%'`;
  await run(`revoke ${privilege} from ${user}`);
  const fresh = orderDatabase(serverOfWorker());
  try {
    expect(await check({ order: fresh })).toMatchObject({
      outcome: 'unfit',
      wrong: [expect.stringMatching(text)],
    });
  } finally {
    await run(`grant ${privilege} to ${user}`);
    await fresh.destroy();
  }
});

test('a proxy is known by the connection numbers that it makes up', async () => {
  const { host, port } = serverOfWorker();
  const proxy = createServer((client) => {
    const upstream = dial(port, host);
    let greeted = false;
    upstream.on('data', (data) => {
      // The number stands behind the version in the server's first packet.
      if (!greeted) data.writeUInt32LE(4_000_000, data.indexOf(0, 5) + 1);
      greeted = true;
      client.write(data);
    });
    client.on('data', (data) => upstream.write(data));
    for (const end of [client, upstream])
      end.on('error', () => {}).on('close', () => client.destroy());
    client.on('close', () => upstream.destroy());
  });
  servers.push(proxy);
  await new Promise<void>((listening) => proxy.listen(0, '127.0.0.1', listening));
  const address = proxy.address();
  const at = (to: number) => ({ host: '127.0.0.1', port: to, ...users.order, ssl: false });
  expect(await isDirectConnection(at(port))).toBe(true);
  expect(
    await isDirectConnection(at(typeof address === 'object' && address ? address.port : 0)),
  ).toBe(false);
  const direct = async () => false;
  expect(await check({ direct })).toMatchObject({
    outcome: 'unfit',
    wrong: [expect.stringMatching(/proxy/)],
  });
});

test('check-binlog measures a stopped reader in seconds and bytes, and waits for one that progresses', async () => {
  await placed(1, 'PAYING');
  await read();
  await run(`update push_db.binlog_checkpoint set read_to = now(3) - interval 1 hour`);
  const [{ large } = {}] = await rowsOf("select repeat('x', 50000) large");
  await run(
    'insert into order_db.order_payment (order_id, amount_fen, state, raw) values (1, 1, "paid", ?)',
    [large],
  );
  const { outcome, measured } = (await check()) as {
    outcome: string;
    measured: Record<string, number>;
  };
  expect(outcome).toBe('fit');
  expect(measured['seconds behind']).toBeGreaterThanOrEqual(3_600);
  expect(measured['seconds behind']).toBeLessThan(3_700);
  expect(measured['bytes behind']).toBeGreaterThan(50_000);
  expect(measured['bytes behind']).toBeLessThan(70_000);
  const pause = async () =>
    void (await run(`
    update push_db.binlog_checkpoint set position = 4000000000`));
  expect(await check({ pause })).toMatchObject({
    measured: { 'seconds behind': 0, 'bytes behind': 0 },
  });
});

test('bytes are counted over files', async () => {
  const [{ raw } = {}] = await rowsOf("select repeat('x', 20000) raw");
  for (let file = 0; file < 3; file++)
    await run(
      `insert into order_db.order_payment (order_id, amount_fen, state, raw) values (1, 1, 'paid', ?); flush binary logs`,
      [raw],
    );
  const { measured } = (await check()) as { measured: Record<string, number> };
  expect(measured['bytes behind']).toBeGreaterThan(60_000);
  expect(measured['bytes behind']).toBeLessThan(80_000);
});

test('check-binlog reports lost changes when unread binlog was purged', async () => {
  await placed(1, 'PAYING');
  await run('flush binary logs');
  const [{ File } = {}] = await rowsOf('show master status');
  await run(`purge binary logs to '${File}'`);
  expect(await check()).toMatchObject({
    outcome: 'lost',
    wrong: [expect.stringMatching(/Lost: .*Run order\/repair-gap/)],
  });
  expect((await checkpoint())['rows_done']).toBe('0');
});

test('check-binlog measures the age of the oldest unsent push, and 0 once it has ended', async () => {
  const measured = async () =>
    ((await check()) as { measured: Record<string, number> }).measured['oldest unsent push'];
  await placed(1, 'PAYING');
  await read();
  expect(await measured()).toBe(0);
  await writePush({ scenario: 8 });
  await writePush({ scenario: 13 });
  await run('update push_db.push set created_at = now(3) - interval 50 minute where scenario = 8');
  expect(await measured()).toBeGreaterThanOrEqual(3_000);
  expect(await measured()).toBeLessThan(3_060);
  await run("update push_db.push set state = 'sent' where scenario = 8");
  expect(await measured()).toBeLessThan(60);
});
