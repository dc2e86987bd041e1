import { Kysely, MysqlDialect } from 'kysely';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { binlogOf, type Source } from '../../lib/order/binlog/binlog-source.ts';
import { tailBinlog } from '../../lib/order/binlog/tail-binlog.ts';
import { orderStatuses, scenarioOf } from '../../lib/order/pushes/scenarios.ts';
import { pushesToSend } from '../../lib/order/queues.ts';
import type { OrderTables } from '../../lib/order/tables.ts';
import type { ReadSecret } from '../../lib/platform/lambda/secret.ts';
import { type Credentials, renewedPool } from '../../lib/platform/mysql/mysql-pool.ts';
import { until } from '../../local/processes.ts';
import { users } from '../../local/users.ts';
import { resetDatabases, rowsOf, run, serverOfWorker } from '../support/databases.ts';
import { contextOf, eventOf } from '../support/lambda.ts';
import {
  became,
  binlogAt,
  checkpoint,
  Died,
  dyingAfter,
  placed,
  pushed,
  readAll,
  readerOf,
  timeFor,
  timeUntil,
} from '../support/orders.ts';
import { take, testQueue } from '../support/queues.ts';

const queue = await testQueue(pushesToSend);
const { handler } = await import('../../functions/order/tail-binlog.ts');
const reader = readerOf(binlogAt());
afterAll(() => reader.mysql.destroy());

/** A run of the function, which has time for two seconds of reading, or until `over`; one that fails ends at once. */
const tick = (time = timeFor(2_000)) =>
  handler(eventOf('order/tail-binlog', 'minute'), contextOf(time));
/** A run of the function that ends when so many pushes are written. */
async function tickUntilPushed(count: number): Promise<void> {
  let over = false;
  const running = tick(timeUntil(() => over));
  const written = until(
    `${count} pushes are written`,
    async () => (await pushed()).length >= count,
  );
  await Promise.race([running, written]).finally(() => {
    over = true;
  });
  await running;
}
/** A run that reads all there is, and what it returns; one that may read for so long. */
const read = (deps = reader) => readAll(deps);
const readFor = (ms: number, deps = reader) => tailBinlog(deps, timeFor(ms));

beforeEach(async () => {
  await resetDatabases();
  await take(queue);
  expect(await read()).toMatchObject({ outcome: 'nothing-new', firstRun: true });
});

test('tail-binlog writes a push and a message for a change that a scenario names', async () => {
  await placed(1, 'PENDING_ACCEPT');
  await became(1, 'PENDING_SERVICE', 'nurse');
  await tickUntilPushed(1);
  expect(await pushed()).toEqual([[1, 8]]);
  expect((await take(queue)).map(({ Body }) => Body)).toEqual(['{"order_id":"1"}']);
  expect(await rowsOf('select order_id, status from push_db.order_seen')).toEqual([
    { order_id: '1', status: 'PENDING_SERVICE' },
  ]);
  const [push] = await rowsOf('select * from push_db.push');
  expect(push).toMatchObject({ receiver_id: '98', status_after: 'PENDING_SERVICE' });
  await placed(2, 'PENDING_ACCEPT');
  await became(2, 'PENDING_SERVICE', 'nurse');
  await tickUntilPushed(2);
  expect(await pushed()).toEqual([
    [1, 8],
    [2, 8],
  ]);
});

test('tail-binlog skips events from before its first run', async () => {
  await became(1, 'PAYING', 'patient');
  await placed(1, 'PAYING');
  await run('truncate push_db.binlog_checkpoint');
  await became(1, 'PENDING_ACCEPT', 'patient');
  expect(await read()).toMatchObject({ outcome: 'nothing-new', firstRun: true, changes: 0 });
  await became(1, 'PENDING_SERVICE', 'nurse');
  await read();
  expect(await pushed()).toEqual([[1, 8]]);
});

test('of all 15 × 15 × 4 changes just those of the table push: right receiver, exact text, once', async () => {
  const statuses = Object.keys(orderStatuses);
  const changes = statuses.flatMap((before) =>
    statuses.flatMap((after) =>
      ['patient', 'nurse', 'system', 'support'].map((by) => ({ before, after, by })),
    ),
  );
  expect(changes).toHaveLength(15 * 15 * 4);
  const put = (what: (change: (typeof changes)[number], id: number) => unknown[]) =>
    run(
      `insert into order_db.\`order\` (order_id, patient_id, nurse_id, status, changed_by) values ?
       on duplicate key update status = values(status), changed_by = values(changed_by)`,
      [changes.map((change, index) => what(change, index + 1))],
    );
  await put(({ before }, id) => [id, 98, 55, before, 'patient']);
  await put(({ after, by }, id) => [id, 98, 55, after, by]);
  await read();
  const expected = changes.flatMap(({ before, after, by }, index) => {
    const scenario = scenarioOf(before, after, by);
    if (!scenario) return [];
    const { number, receiver, channel, text: content } = scenario;
    const receiver_id = receiver === 'patient' ? '98' : '55';
    return [
      {
        ...{ order_id: String(index + 1), scenario: number, receiver_type: receiver },
        ...{ receiver_id, channel, content },
      },
    ];
  });
  expect(expected).toHaveLength(28); // test/order/scenarios.test.ts says which, apart from the table.
  const shown = `select order_id, scenario, receiver_type, receiver_id, channel, content
    from push_db.push order by sequence`;
  expect(await rowsOf(shown)).toEqual(expected);
});

test('each row image counts for itself; what is rolled back, or is no order, does not', async () => {
  await placed(1, 'PAYING', null);
  await placed(2, 'IN_SERVICE');
  await run(`
    begin;
    update order_db.\`order\` set status = 'PENDING_ACCEPT', changed_by = 'system' where order_id = 1;
    insert into order_db.order_log (order_id, what) values (1, 'paid');
    update order_db.\`order\` set status = 'PENDING_SERVICE', changed_by = 'nurse', nurse_id = 56 where order_id = 1;
    savepoint here;
    update order_db.\`order\` set status = 'DISPUTE', changed_by = 'nurse' where order_id = 2;
    rollback to here;
    update order_db.\`order\` set remark = 'of no interest' where order_id = 2;
    commit;
    begin;
    update order_db.\`order\` set status = 'REFUNDING', changed_by = 'nurse' where order_id = 2;
    rollback;
    delete from order_db.\`order\` where order_id = 2;`);
  expect(await read()).toMatchObject({ outcome: 'pushed', pushes: 2, changes: 6 });
  expect(await pushed()).toEqual([
    [1, 2],
    [1, 8],
  ]);
  expect(
    await rowsOf('select receiver_type, receiver_id, data from push_db.push order by sequence'),
  ).toEqual([
    { receiver_type: 'nurse_group', receiver_id: '1', data: null },
    { receiver_type: 'patient', receiver_id: '98', data: '{"nurse_id":56}' },
  ]);
  expect(await rowsOf('select order_id from push_db.order_seen')).toEqual([{ order_id: '1' }]);
});

/** A stretch of binlog with every kind of event in it. */
async function happen(): Promise<void> {
  for (const id of [1, 2, 3]) await placed(id, 'PAYING');
  await run(`
    update order_db.\`order\` set status = 'PENDING_ACCEPT', changed_by = 'patient';
    create table order_db.another (id int primary key) select 1 id;
    begin;
    update order_db.\`order\` set status = 'PENDING_SERVICE', changed_by = 'nurse' where order_id = 1;
    insert into order_db.another values (2);
    update order_db.\`order\` set status = 'IN_SERVICE', changed_by = 'nurse' where order_id = 1;
    commit;
    flush binary logs;
    drop table order_db.another;
    update order_db.\`order\` set status = 'REFUNDING', changed_by = 'nurse' where order_id = 1;`);
  await run(`
    xa start 'first'; update order_db.\`order\` set status = 'PENDING_SERVICE', changed_by = 'nurse' where order_id = 2;
    xa end 'first'; xa prepare 'first';
    xa start 'second'; update order_db.\`order\` set status = 'PENDING_SERVICE', changed_by = 'nurse' where order_id = 3;
    xa end 'second'; xa prepare 'second'; xa rollback 'second';
    xa commit 'first';
    xa start 'third'; update order_db.\`order\` set status = 'IN_SERVICE', changed_by = 'nurse' where order_id = 2;
    xa end 'third'; xa commit 'third' one phase;`);
}
const happened = [
  ...[1, 2, 3].map((id) => [id, 2]),
  ...[
    [1, 8],
    [1, 13],
    [1, 5],
    [2, 8],
    [2, 13],
  ],
];

test('tail-binlog writes each push once when it crashes after every event', async () => {
  await happen();
  for (let events = 1; events < 60; events += 1) {
    const dying = { ...reader, binlog: dyingAfter(events, binlogAt()) };
    const outcome = await read(dying).catch((error) => error);
    if (!(outcome instanceof Died)) break;
  }
  await read();
  expect(await pushed()).toEqual(happened);
  expect(await rowsOf('select * from push_db.prepared_row')).toEqual([]);
});

test('of two readers one reads, the other takes over when it asks, and no push is written twice', async () => {
  const first = readFor(15_000);
  await happen();
  let over = false;
  const second = tailBinlog(
    reader,
    timeUntil(() => over),
  );
  expect(await first).toMatchObject({ ended: 'asked to yield' });
  await became(3, 'PENDING_SERVICE', 'nurse');
  await until('the second has read it', async () => (await pushed()).length > happened.length);
  over = true;
  expect(await second).toMatchObject({ ended: 'out of time' });
  expect(await pushed()).toEqual([...happened, [3, 8]]);
});

test('of three readers at once one does not acquire the lease', async () => {
  let oneHasLeft = false;
  const run = async () => {
    const { outcome } = await tailBinlog(
      reader,
      timeUntil(() => oneHasLeft),
    );
    oneHasLeft ||= outcome === 'lease-not-acquired';
    return { outcome };
  };
  const outcomes = await Promise.all([run(), run(), run()]);
  expect(outcomes.map(({ outcome }) => outcome).toSorted()).toContain('lease-not-acquired');
});

test('rows of a prepared transaction wait for their commit, over runs and restarts', async () => {
  for (const id of [1, 2]) await placed(id, 'PENDING_ACCEPT');
  await run(`
    xa start 'one'; update order_db.\`order\` set status = 'PENDING_SERVICE', changed_by = 'nurse' where order_id = 1; xa end 'one'; xa prepare 'one'`);
  await read();
  expect(await pushed()).toEqual([]);
  expect(await rowsOf('select ordinal from push_db.prepared_row')).toEqual([{ ordinal: '1' }]);
  await became(2, 'PENDING_SERVICE', 'nurse');
  await run("xa commit 'one'");
  await read();
  expect(await pushed()).toEqual([
    [2, 8],
    [1, 8],
  ]);
});

test('prepared transactions of several pages: each row once and in order at the commit, none of what stays prepared or is rolled back', async () => {
  const paged = { ...reader, rowsPerWriteMax: 2 };
  const accepted = (id: number) =>
    `update order_db.\`order\` set status = 'PENDING_SERVICE', changed_by = 'nurse' where order_id = ${id};`;
  const prepare = (xid: string, ids: readonly number[]) =>
    run(`xa start '${xid}'; ${ids.map(accepted).join('')} xa end '${xid}'; xa prepare '${xid}'`);
  for (let id = 1; id <= 9; id++) await placed(id, 'PENDING_ACCEPT');
  await prepare('several', [5, 3, 1, 4, 2]);
  await prepare('left', [6, 7]);
  await prepare('rolled back', [8]);
  await read(paged);
  expect(await pushed()).toEqual([]);
  await became(9, 'PENDING_SERVICE', 'nurse');
  await run("xa rollback 'rolled back'");
  await run("xa commit 'several'");
  try {
    await read(paged);
    expect((await pushed()).map(([id]) => id)).toEqual([9, 5, 3, 1, 4, 2]);
    const kept = await rowsOf('select xid, count(*) kept from push_db.prepared_row group by xid');
    expect(kept).toMatchObject([{ kept: '2' }]);
  } finally {
    await run("xa commit 'left'");
  }
  await read(paged);
  expect((await pushed()).map(([id]) => id)).toEqual([9, 5, 3, 1, 4, 2, 6, 7]);
  expect(await rowsOf('select xid from push_db.prepared_row')).toEqual([]);
});

test('each run progresses in a transaction that is too large for one run, and no push is written twice', async () => {
  const count = 6_000;
  await run(`set session cte_max_recursion_depth = ${count + 1};
    insert into order_db.\`order\` (order_id, patient_id, status, changed_by)
    with recursive n as (select 1 id union all select id + 1 from n where id < ${count})
    select id, id, 'PENDING_ACCEPT', 'patient' from n;
    truncate push_db.binlog_checkpoint`);
  await read();
  await run("update order_db.`order` set status = 'PENDING_SERVICE', changed_by = 'nurse'");
  const counts = 'select count(*) pushes, count(distinct order_id) orders from push_db.push';
  const done: number[] = [0];
  while (done.length < 20 && done.at(-1) !== count) {
    // Its time is over after two writes; how much was read by then depends on nothing else.
    let writes = 0;
    const deliver = async () => {
      writes += 1;
      return [];
    };
    await tailBinlog(
      { ...reader, deliver },
      { remaining: () => (writes > 1 ? 0 : 30_000 - writes) },
    );
    const [{ pushes } = { pushes: 0 }] = await rowsOf(counts);
    const { rows_done } = await checkpoint();
    if (Number(pushes) < count) expect(rows_done).toBe(pushes);
    expect(Number(pushes)).toBeGreaterThan(done.at(-1) ?? 0);
    done.push(Number(pushes));
  }
  expect(done.length).toBeGreaterThan(2);
  expect(await rowsOf(counts)).toEqual([{ pushes: String(count), orders: String(count) }]);
});

test('a column more, and wider ones, change nothing', async () => {
  await placed(1, 'PENDING_ACCEPT');
  await run(`alter table order_db.\`order\` add column early int first, modify status varchar(64) character set latin1,
    modify patient_id bigint unsigned, modify changed_by enum('system', 'patient', 'nurse', 'support', 'robot')`);
  try {
    await became(1, 'PENDING_SERVICE', 'nurse');
    await run('alter table order_db.`order` drop column early, drop column remark');
    await became(1, 'IN_SERVICE', 'nurse');
    await read();
    expect(await pushed()).toEqual([
      [1, 8],
      [1, 13],
    ]);
  } finally {
    await run(`alter table order_db.\`order\` add column remark text, modify status varchar(32) not null,
      modify patient_id bigint, modify changed_by enum('patient', 'nurse', 'system', 'support')`);
  }
});

test.each([
  ['rename column status to state', 'rename column state to status', /no column status/],
  ['drop column nurse_id', 'add column nurse_id bigint after patient_id', /no column nurse_id/],
  [
    'modify status varchar(32) character set utf16',
    'modify status varchar(32) character set utf8mb4',
    /status has the charset utf16/,
  ],
])('%s: the reader stops and names it', async (alter, back, why) => {
  await placed(1, 'PENDING_ACCEPT');
  await run(`alter table order_db.\`order\` ${alter}`);
  try {
    await run("update order_db.`order` set changed_by = 'nurse'");
    await expect(tick()).rejects.toThrow(why);
    expect(await pushed()).toEqual([]);
  } finally {
    await run(`alter table order_db.\`order\` ${back}`);
  }
});

test.each([
  ["session binlog_format = 'STATEMENT'", /changed by a statement/],
  ["session binlog_row_image = 'MINIMAL'", /a change of .* without .*binlog_row_image=FULL/],
  ['session binlog_transaction_compression = ON', /TRANSACTION_PAYLOAD_EVENT/],
  ["global binlog_row_metadata = 'MINIMAL'", /binlog_row_metadata=FULL/],
])('%s: the reader stops and names it', async (setting, why) => {
  await placed(1, 'PENDING_ACCEPT');
  await run(`set ${setting}`);
  try {
    await became(1, 'PENDING_SERVICE', 'nurse');
    await expect(tick()).rejects.toThrow(why);
    expect(await pushed()).toEqual([]);
  } finally {
    const [name = ''] = setting.split(' =');
    await run(`set ${name} = ${name.startsWith('global') ? "'FULL'" : 'default'}`);
  }
});

test('tail-binlog reopens a killed connection at the checkpoint', async () => {
  await placed(1, 'PENDING_ACCEPT');
  let over = false;
  const reading = tailBinlog(
    reader,
    timeUntil(() => over),
  );
  const dumps = () =>
    rowsOf("select id from information_schema.processlist where command like 'Binlog Dump%'");
  await until('the binlog is read', async () => (await dumps()).length > 0);
  for (const { id } of await dumps()) await run(`kill ${id}`);
  await became(1, 'PENDING_SERVICE', 'nurse');
  await until('the change is read', async () => (await pushed()).length > 0, { timeoutMs: 5_000 });
  over = true;
  expect(await reading).toMatchObject({ outcome: 'pushed', changes: 2 });
});

test('tail-binlog throws an error that names the lost GTIDs when the binlog was purged', async () => {
  await placed(1, 'PENDING_ACCEPT');
  await became(1, 'PENDING_SERVICE', 'nurse');
  await run('flush binary logs');
  const [{ File } = { File: '' }] = await rowsOf('show master status');
  await run(`purge binary logs to '${File}'`);
  await expect(tick()).rejects.toThrow(/purged before all of it was read\. Lost: [0-9a-f-]{36}:\d/);
  expect(await pushed()).toEqual([]);
});

test('tail-binlog writes the checkpoint seldom when there are no order rows', async () => {
  const before = await checkpoint();
  await run("insert into order_db.order_log (order_id, what) values (1, 'seen')");
  await readFor(600);
  expect((await checkpoint())['position']).not.toBe(before['position']);
  const writes = await rowsOf('select count(*) writes from signalbox.claim where epoch > 0');
  expect(writes).toHaveLength(1);
});

/** A run in which so many milliseconds pass at each look for events, whatever the real clock says, or until `over`. */
function hurried(source: Source, looks: number, msPerLook: number, over = () => false) {
  let left = 5_000 + looks * msPerLook;
  const open: Source['open'] = async (found, epoch) => {
    const stream = await source.open(found, epoch);
    return {
      ...stream,
      take: async () => {
        left -= msPerLook;
        return await stream.take(50);
      },
    };
  };
  return tailBinlog(
    { ...reader, binlog: { ...source, open } },
    { remaining: () => (over() ? 0 : left) },
  );
}

test('however busy other tables are, without order rows the place is written every ten seconds', async () => {
  await run(`create table push_db.counted (id int auto_increment primary key);
    create trigger push_db.count_writes after update on push_db.binlog_checkpoint
      for each row insert into push_db.counted values ()`);
  try {
    // Each writing stands in the binlog itself, so there is something new at each look.
    await hurried(binlogAt(), 40, 1_000);
    const [row] = await rowsOf('select count(*) writes from push_db.counted');
    expect(Number(row?.['writes'])).toBeGreaterThanOrEqual(3);
    expect(Number(row?.['writes'])).toBeLessThanOrEqual(5);
  } finally {
    await run('drop trigger push_db.count_writes; drop table push_db.counted');
  }
});

test('tail-binlog reopens a connection that is silent while the server has more events', async () => {
  let opened = 0;
  const source = binlogAt();
  const open: Source['open'] = async (found, epoch) => {
    opened += 1;
    const stream = await source.open(found, epoch);
    return opened > 1 ? stream : { ...stream, take: async () => [] };
  };
  await placed(1, 'PENDING_ACCEPT');
  await became(1, 'PENDING_SERVICE', 'nurse');
  let over = false;
  const reading = hurried({ ...source, open }, 150, 1_000, () => over); // Time enough for the second to read.
  const written = until('the push is written', async () => (await pushed()).length > 0);
  await Promise.race([reading, written]).finally(() => {
    over = true;
  });
  await reading;
  expect(opened).toBe(2);
  expect(await pushed()).toEqual([[1, 8]]);
});

test('tail-binlog keeps a silent connection when the server has no more events', async () => {
  let opened = 0;
  const source = binlogAt();
  const open: Source['open'] = async (found, epoch) => {
    opened += 1;
    return await source.open(found, epoch);
  };
  await hurried({ ...source, open }, 60, 1_000);
  expect(opened).toBe(1);
});

test('tail-binlog reads a rotated password again and misses no change', async () => {
  const { username, password } = users.order;
  const secret = { ...serverOfWorker(), ssl: false, username };
  let current: string = password;
  let asked = 0;
  let known: string | undefined;
  // As a function has it: what was read is kept, unless it is asked past its cache.
  const credentials: ReadSecret<Credentials> = async ({ pastCache = false } = {}) => {
    if (pastCache || !known) {
      asked += 1;
      known = current;
    }
    return { ...secret, password: known };
  };
  const settings = async () => ({ serverIdFirst: 820_140_000 });
  const order = new Kysely<OrderTables>({
    dialect: new MysqlDialect({ pool: renewedPool(credentials) }),
  });
  const deps = { ...reader, binlog: binlogOf({ order, credentials, settings }) };
  await placed(1, 'PENDING_ACCEPT');
  await became(1, 'PENDING_SERVICE', 'nurse');
  await read(deps);
  expect(asked).toBe(1);
  current = 'another-password';
  await run(`alter user '${username}'@'%' identified by '${current}'`);
  try {
    await became(1, 'IN_SERVICE', 'nurse');
    const threads = await rowsOf(
      `select id from information_schema.processlist where user = '${username}'`,
    );
    for (const { id } of threads) await run(`kill ${id}`);
    // Should the run end by the refusal, the next one, a second later, has to succeed.
    await read(deps).catch(() => {});
    await read(deps);
    expect(asked).toBeGreaterThan(1);
    expect(await pushed()).toEqual([
      [1, 8],
      [1, 13],
    ]);
  } finally {
    await run(`alter user '${username}'@'%' identified by '${password}'`);
    await order.destroy();
  }
});

test('JSON that was updated in part: the reader stops and names the setting', async () => {
  await run('alter table order_db.`order` add column extra json');
  try {
    await placed(1, 'PENDING_ACCEPT');
    await run("update order_db.`order` set extra = json_object('long', repeat('x', 200), 'a', 1)");
    await run(`set session binlog_row_value_options = 'PARTIAL_JSON';
      update order_db.\`order\` set extra = json_set(extra, '$.a', 2), status = 'PENDING_SERVICE', changed_by = 'nurse';
      set session binlog_row_value_options = ''`);
    await expect(tick()).rejects.toThrow(/binlog_row_value_options/);
    expect(await pushed()).toEqual([]);
  } finally {
    await run('alter table order_db.`order` drop column extra');
  }
});

test('a push that is open for too long is requeued, and a postponed one is not', async () => {
  for (const id of [1, 2, 3]) await placed(id, 'PENDING_ACCEPT');
  await run("update order_db.`order` set status = 'PENDING_SERVICE', changed_by = 'nurse'");
  await read();
  await take(queue);
  await run(`update push_db.push set created_at = now(3) - interval 11 minute where order_id < 3;
    insert into signalbox.outbox (destination, body, due_at, dedupe_key) values ('queue:order/push-change',
      '{"order_id":"2"}', now(3) + interval 1 hour, unhex(sha2('queue:order/push-change\\n{"order_id":"2"}', 256)))`);
  expect(await read()).toMatchObject({ requeued: 1 });
  expect((await take(queue)).map(({ Body }) => Body)).toEqual(['{"order_id":"1"}']);
});

test('tail-binlog stops when its kill switch is off, and misses no change afterwards', async () => {
  await placed(1, 'PENDING_ACCEPT');
  await became(1, 'PENDING_SERVICE', 'nurse');
  const stopped = { ...reader, firstSwitchOff: async () => 'order/tail-binlog' };
  expect(await read(stopped)).toEqual({ outcome: 'switched-off', switch: 'order/tail-binlog' });
  expect(await pushed()).toEqual([]);
  await read();
  expect(await pushed()).toEqual([[1, 8]]);
});
