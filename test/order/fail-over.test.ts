import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { tailBinlog } from '../../lib/order/binlog/tail-binlog.ts';
import { pushesToSend } from '../../lib/order/queues.ts';
import { connect, type Mysql, startMysql } from '../../local/mysql.ts';
import { freePort } from '../../local/ports.ts';
import { Processes, until } from '../../local/processes.ts';
import { createUpstream } from '../../local/upstream.ts';
import { users } from '../../local/users.ts';
import { resetDatabases, rowsOf } from '../support/databases.ts';
import { binlogAt, checkpoint, pushed, readAll, readerOf } from '../support/orders.ts';
import { testQueue } from '../support/queues.ts';

type Admin = Awaited<ReturnType<typeof connect>>;

await testQueue(pushesToSend);
const dir = mkdtempSync(join(tmpdir(), 'signalbox-fail-over-'));
const processes = new Processes(dir);
const servers: { readonly address: Mysql; readonly admin: Admin }[] = [];

async function started(name: string) {
  const address = await startMysql(
    processes,
    join(dir, name),
    await freePort(name, undefined),
    name,
  );
  const admin = await connect(address);
  servers.push({ address, admin });
  return { address, admin };
}

let source: (typeof servers)[number];
let replica: (typeof servers)[number];

beforeAll(async () => {
  source = await started('source');
  replica = await started('replica');
  await createUpstream(source.address);
  await replica.admin.query(`set global server_id = 2;
    flush binary logs; flush binary logs;
    change replication source to source_host = '${source.address.host}', source_port = ${source.address.port},
      source_user = '${users.admin.username}', source_password = '${users.admin.password}', source_auto_position = 1;
    start replica`);
}, 60_000);

afterAll(async () => {
  for (const { admin } of servers) admin.destroy();
  const awake = setInterval(() => {}, 1000);
  await processes.endAll();
  clearInterval(awake);
  rmSync(dir, { recursive: true, force: true });
});

beforeEach(resetDatabases);

const readerAt = ({ address }: { address: Mysql }) => ({
  ...readerOf(binlogAt(address)),
  deliver: async () => [],
});
const readAt = (server: { address: Mysql }) => readAll(readerAt(server));

const place = (id: number) =>
  `insert into order_db.\`order\` (order_id, patient_id, nurse_id, status, changed_by) values (${id}, 98, 55, 'PENDING_ACCEPT', 'patient')`;
const become = (id: number, status: string) =>
  `update order_db.\`order\` set status = '${status}', changed_by = 'nurse' where order_id = ${id}`;

const executed = async ({ admin }: { admin: Admin }) => {
  const [rows] = await admin.query('select @@global.gtid_executed all_');
  return String((rows as { all_: string }[])[0]?.all_);
};
const caughtUp = async () => {
  const all = await executed(source);
  await until('the replica has all', async () => (await executed(replica)).includes(all));
};

test('nothing is lost when a completely read binlog file is purged', async () => {
  await readAt(source);
  await source.admin.query(`${place(1)}`);
  await readAt(source);
  await source.admin.query('flush binary logs');
  const [rows] = await source.admin.query('show master status');
  const [{ File } = { File: '' }] = rows as { File: string }[];
  expect((await checkpoint())['file']).not.toBe(File);
  await caughtUp();
  await source.admin.query(`purge binary logs to '${File}'`);
  await source.admin.query(become(1, 'PENDING_SERVICE'));
  expect(await readAt(source)).toMatchObject({ pushes: 1 });
  expect(await pushed()).toEqual([[1, 8]]);
});

test('the reader resumes a large transaction on the replica when the source crashes in its middle', async () => {
  const count = 9_000;
  await source.admin.query(`set session cte_max_recursion_depth = ${count + 1};
    insert into order_db.\`order\` (order_id, patient_id, status, changed_by)
    with recursive n as (select 100 id union all select id + 1 from n where id < ${count + 99})
    select id, id, 'PENDING_ACCEPT', 'patient' from n`);
  await readAt(source);
  await source.admin.query(
    "update order_db.`order` set status = 'PENDING_SERVICE', changed_by = 'nurse' where order_id >= 100",
  );
  let writes = 0;
  const deliver = async () => {
    writes += 1;
    return [];
  };
  await tailBinlog({ ...readerAt(source), deliver }, { remaining: () => (writes ? 0 : 30_000) });
  const { rows_done, rows_of, gtid_set } = await checkpoint();
  expect(Number(rows_done)).toBeGreaterThan(0);
  expect(Number(rows_done)).toBeLessThan(count);
  expect(String(rows_of)).toMatch(/^[0-9a-f-]{36}:\d+$/);
  expect(String(gtid_set)).not.toMatch(new RegExp(`[:-]${String(rows_of).split(':')[1]}$`));
  await caughtUp();
  await readAt(replica);
  const counts = 'select count(*) pushes, count(distinct order_id) orders from push_db.push';
  expect(await rowsOf(counts)).toEqual([{ pushes: String(count), orders: String(count) }]);
  expect((await checkpoint())['rows_of']).toBe(null);
});

test('the reader resumes on a replica with other binlog files after a fail-over, without loss or duplicates', async () => {
  await readAt(source);
  await source.admin.query(`${place(2)}; ${become(2, 'PENDING_SERVICE')}; ${place(3)}`);
  expect(await readAt(source)).toMatchObject({ pushes: 1 });
  await source.admin.query(
    `begin; ${become(2, 'IN_SERVICE')}; ${become(3, 'PENDING_SERVICE')}; commit`,
  );
  await caughtUp();
  // The source dies before this was read; the replica takes its place, and goes on with GTIDs of its own.
  await replica.admin.query(`stop replica; ${become(3, 'IN_SERVICE')}`);
  expect(await readAt(replica)).toMatchObject({ pushes: 3 });
  expect(await pushed()).toEqual([
    [2, 8],
    [2, 13],
    [3, 8],
    [3, 13],
  ]);
  const { server_uuid, gtid_set } = await checkpoint();
  expect(String(gtid_set).split(',')).toHaveLength(2);
  expect(String(gtid_set)).toContain(String(server_uuid));
  // A place on the replica, from which it goes on without GTIDs.
  await replica.admin.query(become(3, 'SERVICE_COMPLETED'));
  expect(await readAt(replica)).toMatchObject({ pushes: 1 });
});

test('the reader refuses to resume on a server that was reset or restored', async () => {
  await readAt(source);
  await source.admin.query('stop replica; reset replica all; reset master');
  await expect(readAt(source)).rejects.toThrow(/was reset or restored/);
});
