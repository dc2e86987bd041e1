import { spawn } from 'node:child_process';
import { GetQueueAttributesCommand, SendMessageCommand } from '@aws-sdk/client-sqs';
import type { RowDataPacket } from 'mysql2';
import { afterAll, expect, inject, test } from 'vitest';
import { connect } from '../../local/mysql.ts';
import { until } from '../../local/processes.ts';
import { root } from '../../local/root.ts';
import { redeliverAfter, sqs, take } from '../support/queues.ts';
import { started } from '../support/started.ts';

const id = 'broker/apply-event';
const { endpoints, mysql } = await started('stack');
const { queues, deadLetterQueues } = endpoints;
const dead = deadLetterQueues[id] ?? '';
const broker = 900_001;
const by = 'system-test';
const admin = await connect(mysql);
/** Deployed it is 22 s; a message becomes a dead letter at its third failure. */
const asDeployed = await redeliverAfter(queues[id] ?? '', 4);
afterAll(async () => {
  await asDeployed();
  await admin.query(`drop trigger if exists user_prop_db.broken`);
  await admin.end();
});

/** As a person types it, with npm and all. */
async function npmRunOps(...args: string[]): Promise<{ status: number | null; out: string }> {
  const child = spawn('npm', ['run', '--silent', 'ops', '--', ...args, '--local', inject('dir')], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let out = '';
  child.stdout.on('data', (data) => {
    out += data;
  });
  return await new Promise((end) => child.on('close', (status) => end({ status, out })));
}

async function nameOnSite(): Promise<unknown> {
  const [rows] = await admin.query<RowDataPacket[]>(
    'select true_name from user_prop_db.broker_base where broker_id = ? and is_deleted = 0',
    [broker],
  );
  return rows[0]?.['true_name'];
}

async function lettersIn(QueueUrl: string): Promise<number> {
  const { Attributes = {} } = await sqs().send(
    new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['ApproximateNumberOfMessages'] }),
  );
  return Number(Attributes['ApproximateNumberOfMessages']);
}

async function hasCursor(scan: string): Promise<boolean> {
  const [rows] = await admin.query<RowDataPacket[]>(
    'select 1 from signalbox.scan_cursor where name like ?',
    [`%${scan}%`],
  );
  return rows.length > 0;
}

test('a bad message is set aside, listed and dropped; a good one is redriven once its cause is mended', async () => {
  await take(dead);
  await admin.query(
    `replace into anjuke_db.ajk_broker values (?, '修好', 11, 101, 1001, 'p.jpg', 1, '2020-01-01 00:00:00');
     create trigger user_prop_db.broken before insert on user_prop_db.broker_base for each row
     signal sqlstate '45000' set message_text = 'the table is broken'`,
    [broker],
  );
  for (const MessageBody of [
    JSON.stringify({ broker_ids: String(broker), flag: 2, source: 1 }),
    JSON.stringify({ broker_ids: 'x', flag: 2 }),
  ])
    await sqs().send(new SendMessageCommand({ QueueUrl: queues[id], MessageBody }));

  await until('both are dead letters', async () => (await lettersIn(dead)) === 2, {
    timeoutMs: 100_000,
    pollMs: 500,
  });
  const listed = (await npmRunOps('dead', 'list')).out;
  expect(listed).toContain('the table is broken');
  expect(listed).toContain('number 1 is not an id');
  const bad = ['--reason', 'number 1 is not an id'];
  const dropped = await npmRunOps(
    'dead',
    'drop',
    id,
    ...bad,
    '--why',
    'they were told',
    '--by',
    by,
  );
  expect(dropped.status).toBe(0);
  expect(await nameOnSite()).toBeUndefined();

  await admin.query('drop trigger user_prop_db.broken');
  const redriven = await npmRunOps('dead', 'redrive', id, '--why', 'mended', '--by', by);
  expect(redriven.out).toMatch(new RegExp(`^${id} +1 +0 +0 +0$`, 'm'));
  await until('the broker is on the site', async () => (await nameOnSite()) === '修好');
  expect((await npmRunOps('dead', 'list')).out).toMatch(/dead-letter queues are empty/);

  const [rows] = await admin.query<RowDataPacket[]>(
    'select what, why from signalbox.audit where who = ? order by id',
    [by],
  );
  expect(rows.map(({ what, why }) => `${what}: ${why}`)).toEqual([
    'dead/drop: they were told',
    'dead/drop: they were told',
    'dead/redrive: mended',
    'dead/redrive: mended',
  ]);
});

test('state shows the scans of the deployed stack', async () => {
  const scan = 'publish-base-changes:anjuke_db';
  await until('the minute scan has run', () => hasCursor(scan), {
    timeoutMs: 100_000,
    pollMs: 1000,
  });
  expect((await npmRunOps('state')).out).toContain(scan);
});
