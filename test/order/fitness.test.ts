import { afterAll, beforeEach, expect, test } from 'vitest';
import { checkBinlog } from '../../lib/order/binlog/check-binlog.ts';
import { repairGap } from '../../lib/order/binlog/repair-gap.ts';
import { unreadableIn } from '../../lib/order/binlog/trial-read.ts';
import { pushesToSend } from '../../lib/order/queues.ts';
import { users } from '../../local/users.ts';
import { resetDatabases, run, serverOfWorker } from '../support/databases.ts';
import {
  became,
  binlogAt,
  orderDatabase,
  placed,
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
const user = `'${users.order.username}'@'%'`;
const check = (database = order) =>
  checkBinlog({
    ...{ mysql: reader.mysql, order: database, direct: async () => true, pause: async () => {} },
    settings: async () => ({ retentionHoursMin: 72 }),
  });

beforeEach(async () => {
  await resetDatabases();
  await readAll(reader);
});

test('expire_logs_days counts where it is what says how long the binlog is kept', async () => {
  await run('set global binlog_expire_logs_seconds = 0; set global expire_logs_days = 1');
  try {
    expect(await check()).toMatchObject({
      outcome: 'unfit',
      wrong: ['The binlog is kept 24 h: set binlog_expire_logs_seconds to 259200.'],
    });
    await run('set global expire_logs_days = 3');
    expect(await check()).toMatchObject({ outcome: 'fit' });
    await run('set global expire_logs_days = 1; set global binlog_expire_logs_auto_purge = OFF');
    expect(await check()).toMatchObject({ outcome: 'fit' });
  } finally {
    await run(`set global binlog_expire_logs_auto_purge = ON; set global expire_logs_days = 0;
      set global binlog_expire_logs_seconds = 2592000`);
  }
});

test('privileges that a role gives are held, if the role is active', async () => {
  const privileges = 'replication slave, replication client on *.*';
  await run(`create role 'binlog_reader'; grant ${privileges} to 'binlog_reader';
    revoke ${privileges} from ${user}; grant 'binlog_reader' to ${user}`);
  const [without, within] = [orderDatabase(serverOfWorker()), orderDatabase(serverOfWorker())];
  try {
    expect(await check(without)).toMatchObject({
      outcome: 'unfit',
      wrong: [
        expect.stringMatching(/^REPLICATION SLAVE/),
        expect.stringMatching(/^REPLICATION CL/),
      ],
    });
    await run(`set default role 'binlog_reader' to ${user}`);
    expect(await check(within)).toMatchObject({ outcome: 'fit', wrong: [] });
    expect(await readAll(reader)).toMatchObject({ outcome: 'nothing-new' });
  } finally {
    await run(`drop role 'binlog_reader'; grant ${privileges} to ${user}`);
    await without.destroy();
    await within.destroy();
  }
});

test('on Aurora the retention is what mysql.rds_show_configuration says, by default none', async () => {
  const configured = (value: string) => `
    drop procedure if exists mysql.rds_show_configuration;
    create procedure mysql.rds_show_configuration()
      select 'binlog retention hours' name, ${value} value, 'Hours' description
      union all select 'source delay', '0', '';
    grant execute on procedure mysql.rds_show_configuration to ${user}`;
  try {
    await run(configured('null'));
    expect(await check()).toMatchObject({
      outcome: 'unfit',
      wrong: [
        "The binlog is kept 0 h: call mysql.rds_set_configuration('binlog retention hours', 72).",
      ],
    });
    await run(configured("'24'"));
    expect(await check()).toMatchObject({
      wrong: [expect.stringMatching(/^The binlog is kept 24 h: call mysql.rds_set_configuration/)],
    });
    await run(configured("'72'"));
    expect(await check()).toMatchObject({ outcome: 'fit' });
  } finally {
    await run('drop procedure if exists mysql.rds_show_configuration');
  }
});

const through = async () => {
  return await checkBinlog({
    ...{ mysql: reader.mysql, order, direct: async () => true, pause: async () => {} },
    settings: async () => ({ retentionHoursMin: 72 }),
    unreadable: unreadableIn(binlogAt()),
  });
};
const pass = () =>
  repairGap(
    { ...reader, order },
    { by: 'a', why: 'b', pass: true },
    { ...timeFor(20_000), progress: () => {} },
  );

test('check-binlog reports unfit for unreadable events, whatever the settings are now', async () => {
  expect(await through()).toMatchObject({ outcome: 'fit' });
  await placed(1, 'PENDING_ACCEPT');
  await run("set session binlog_format = 'STATEMENT'");
  await became(1, 'PENDING_SERVICE', 'nurse');
  await run('set session binlog_format = default');
  expect(await through()).toMatchObject({
    outcome: 'unfit',
    wrong: [
      expect.stringMatching(/^The events after the reader's checkpoint.*changed by a statement/),
    ],
  });
  await pass();
  expect(await through()).toMatchObject({ outcome: 'fit' });
});

test('a file that was written with another binlog_checksum is unfit; without checksums the server is fit', async () => {
  await run('set global binlog_checksum = NONE');
  try {
    await expect(readAll(reader)).rejects.toThrow(/checksum/);
    expect(await through()).toMatchObject({
      outcome: 'unfit',
      wrong: [expect.stringMatching(/checksum/)],
    });
    await pass();
    expect(await through()).toMatchObject({ outcome: 'fit' });
    await placed(1, 'PENDING_ACCEPT');
    await became(1, 'PENDING_SERVICE', 'nurse');
    expect(await readAll(reader)).toMatchObject({ outcome: 'pushed' });
  } finally {
    await run('set global binlog_checksum = CRC32');
  }
});

test('a place without GTIDs on a server that has them is unfit until the next file begins', async () => {
  await run('update push_db.binlog_checkpoint set gtid_set = null');
  expect(await check()).toMatchObject({
    outcome: 'unfit',
    wrong: [expect.stringMatching(/a fail-over would lose it: run `flush binary logs`/)],
  });
  await run('flush binary logs');
  await placed(1, 'PENDING_ACCEPT');
  await readAll(reader);
  expect(await check()).toMatchObject({ outcome: 'fit' });
});
