import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import type { CloudFormationCustomResourceEvent } from 'aws-lambda';
import { afterAll, beforeEach, expect, inject, onTestFinished, test, vi } from 'vitest';
import * as z from 'zod';
import { customResource } from '../../lib/platform/lambda/custom-resource.ts';
import { rowsOf, run } from '../support/databases.ts';
import { contextOf, eventOf } from '../support/lambda.ts';

const { handler } = await import('../../functions/platform/migrate.ts');

type Answer = { Status: string; Reason?: string; PhysicalResourceId: string };
const answers: Answer[] = [];
let refusals = 0;
const cloudFormation = createServer(async (request, response) => {
  let body = '';
  for await (const part of request) body += part;
  if (refusals > 0) {
    refusals -= 1;
    response.writeHead(503).end();
    return;
  }
  answers.push(JSON.parse(body));
  response.end();
});
await new Promise<void>((listening) => cloudFormation.listen(0, '127.0.0.1', listening));
const address = cloudFormation.address();
const ResponseURL = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/answer?X-Amz-Signature=abc`;

const first = {
  name: '0001-first.sql',
  sql: "create schema if not exists migrate_db;\n\ncreate table if not exists migrate_db.example (\n  id bigint not null primary key comment 'a; b'\n);\n",
};
const second = {
  name: '0002-second.sql',
  sql: '-- One more column.\nalter table migrate_db.example add column name varchar(20) null;\n',
};

interface File {
  readonly name: string;
  readonly sql: string;
}

const folder = mkdtempSync(join(inject('dir'), 'migrate-'));
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

/** Puts files next to the function's code, in place of those that are there. */
function hold(files: readonly File[]): void {
  rmSync(join(folder, 'migrations'), { recursive: true, force: true });
  mkdirSync(join(folder, 'migrations'));
  for (const { name, sql } of files) writeFileSync(join(folder, 'migrations', name), sql);
  vi.stubEnv('LAMBDA_TASK_ROOT', folder);
}

/** A deploy of a function that holds these files and names them. */
async function deploy(
  name: 'create' | 'update' | 'delete',
  migrations?: readonly File[],
  more: Record<string, unknown> = {},
): Promise<Answer> {
  hold(migrations ?? (name === 'create' ? [first] : [first, second]));
  const named = migrations?.map((file) => ({ name: file.name, sha256: sha256(file.sql) }));
  return await start(name, { ...(named && { migrations: named }), ...more });
}

async function start(name: 'create' | 'update' | 'delete', more: object): Promise<Answer> {
  const event = eventOf<CloudFormationCustomResourceEvent>('platform/migrate', name);
  const ResourceProperties = { ...event.ResourceProperties, ...more };
  await handler({ ...event, ResponseURL, ResourceProperties }, contextOf());
  const answer = answers.pop();
  if (!answer) throw new Error('CloudFormation got no answer.');
  return answer;
}

const columns = async () =>
  (
    await rowsOf(
      `select column_name name from information_schema.columns where table_schema = 'migrate_db' order by ordinal_position`,
    )
  ).map(({ name }) => name);

// A schema of its own: the tables of the product stay as the tests after this one expect them.
const clean = 'drop schema if exists migrate_db; drop table if exists signalbox.migration';
beforeEach(async () => {
  await run(`${clean}; grant all on migrate_db.* to signalbox`);
  refusals = 0;
});
afterAll(async () => {
  cloudFormation.close();
  await run(`${clean}; revoke all on migrate_db.* from signalbox`);
});

test('applies what is new, in order, and nothing twice', async () => {
  expect(await deploy('create')).toMatchObject({ Status: 'SUCCESS' });
  expect(await columns()).toEqual(['id']);
  expect(await deploy('update')).toMatchObject({
    Status: 'SUCCESS',
    PhysicalResourceId: 'signalbox-platform-migrate',
  });
  expect(await columns()).toEqual(['id', 'name']);
  expect(await deploy('update')).toMatchObject({ Status: 'SUCCESS' });
  expect(await rowsOf('select name from signalbox.migration')).toHaveLength(2);
});

test('two deploys at once both succeed', async () => {
  const both = await Promise.all([deploy('update'), deploy('update')]);
  expect(both.map(({ Status }) => Status)).toEqual(['SUCCESS', 'SUCCESS']);
  expect(await columns()).toEqual(['id', 'name']);
});

test('a file that broke off half-way is run again and passes over what is there', async () => {
  await deploy('update');
  await run("delete from signalbox.migration where name = '0002-second.sql'");
  expect(await deploy('update')).toMatchObject({ Status: 'SUCCESS' });
});

test('a wrong statement stops the deploy and says why; what came before it stays', async () => {
  const good = { name: '0001.sql', sql: 'create schema migrate_db;\n' };
  const bad = {
    name: '0002.sql',
    sql: 'create table migrate_db.t (id bigint primary key);\ncreate nonsense;\n',
  };
  const answer = await deploy('create', [good, bad]);
  expect(answer.Status).toBe('FAILED');
  expect(answer.Reason).toContain("near 'nonsense'");
  expect(await rowsOf('select name from signalbox.migration')).toEqual([{ name: '0001.sql' }]);
});

test('a file that was changed after it had run is refused', async () => {
  await deploy('create', [{ name: '0001.sql', sql: 'create schema migrate_db;\n' }]);
  const answer = await deploy('update', [{ name: '0001.sql', sql: 'create schema other_db;\n' }]);
  expect(answer.Reason).toBe('0001.sql was changed after it had run: add a new file instead.');
});

test('deleting the stack deletes no table', async () => {
  await deploy('update');
  expect(await deploy('delete')).toMatchObject({ Status: 'SUCCESS' });
  expect(await columns()).toEqual(['id', 'name']);
});

test('CloudFormation hears the answer although it was away', async () => {
  refusals = 2;
  expect(await deploy('create')).toMatchObject({ Status: 'SUCCESS' });
});

test('the SQL of an event is not run when a person starts the function with it', async () => {
  hold([first, second]);
  const evil = 'create schema migrate_db;\ncreate table migrate_db.stolen (id bigint);\n';
  const events = [
    [{ name: '0001-first.sql', sql: evil }],
    [{ name: '0001-first.sql', sql: evil, sha256: sha256(evil) }],
    [{ name: '0003-third.sql', sql: evil, sha256: sha256(evil) }],
    [{ name: '../migrations/0001-first.sql', sql: evil, sha256: sha256(first.sql) }],
  ];
  for (const migrations of events)
    expect(await start('update', { migrations })).toMatchObject({ Status: 'FAILED' });
  expect(await columns()).toEqual([]);
  const known = [first, second].map(({ name, sql }) => ({ name, sql: evil, sha256: sha256(sql) }));
  expect(await start('update', { migrations: known })).toMatchObject({ Status: 'SUCCESS' });
  expect(await columns()).toEqual(['id', 'name']);
});

test.each([
  ['a file that is not there', [first, second], [first], '0002-second.sql'],
  ['fewer files than there are', [first], [first, second], '0002-second.sql'],
  [
    'another content of a file',
    [first, { ...second, sql: 'select 1;\n' }],
    [first, second],
    '0002-second.sql',
  ],
])('a deploy that names %s stops before anything is changed', async (_, named, held, wrong) => {
  hold(held);
  const migrations = named.map(({ name, sql }) => ({ name, sha256: sha256(sql) }));
  const { Status, Reason } = await start('update', { migrations });
  expect([Status, Reason]).toEqual([
    'FAILED',
    `The function holds something else than the deploy names: ${wrong}.`,
  ]);
  expect(await columns()).toEqual([]);
});

test('for how long the binlog is kept is not taken from the event', async () => {
  const { Reason } = await deploy('update', undefined, { binlogRetentionHours: '1' });
  expect(Reason).toBe(
    'The function holds something else than the deploy names: binlogRetentionHours.',
  );
});

test.each([
  ['of four bytes', '😀'.repeat(999)],
  ['that JSON escapes', '\u0001'.repeat(2_000)],
  ['beside which a character is cut', `${'x'.repeat(999)}😀`],
])('a reason with characters %s is told within the 4,096 bytes of an answer', async (_, reason) => {
  const failing = customResource(z.unknown(), async () => {
    throw new Error(reason);
  });
  const event = eventOf<CloudFormationCustomResourceEvent>('platform/migrate', 'create');
  await failing({ ...event, ResponseURL }, contextOf());
  const answer = answers.at(-1);
  expect(answer?.Status).toBe('FAILED');
  expect(Buffer.byteLength(JSON.stringify(answer))).toBeLessThanOrEqual(4_096);
  expect(answer?.Reason?.isWellFormed()).toBe(true);
  expect(reason.startsWith(answer?.Reason ?? 'none')).toBe(true);
  expect(answer?.Reason?.length).toBeGreaterThan(200);
});

test('properties of another form are refused by name', async () => {
  const answer = await deploy('create', []);
  expect(answer.Reason).toMatch(/^The resource's properties are not valid: migrations: /);
});

test('the binlog is kept for as long as was asked for, by the procedure that Aurora has for it', async () => {
  await run(`
    create table signalbox.asked (name varchar(100), hours int);
    create procedure mysql.rds_set_configuration(name varchar(100), hours int)
      insert into signalbox.asked values (name, hours);
    grant execute on procedure mysql.rds_set_configuration to signalbox`);
  onTestFinished(() =>
    run('drop procedure mysql.rds_set_configuration; drop table signalbox.asked'),
  );
  expect(await deploy('update')).toMatchObject({ Status: 'SUCCESS' });
  expect(await rowsOf('select * from signalbox.asked')).toEqual([]);
  vi.stubEnv('BINLOG_RETENTION_HOURS', '72');
  expect(await deploy('update', undefined, { binlogRetentionHours: '72' })).toMatchObject({
    Status: 'SUCCESS',
  });
  expect(await rowsOf('select * from signalbox.asked')).toEqual([
    { name: 'binlog retention hours', hours: 72 },
  ]);
});
