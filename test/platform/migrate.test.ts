import { createServer } from 'node:http';
import type { CloudFormationCustomResourceEvent } from 'aws-lambda';
import { afterAll, beforeEach, expect, onTestFinished, test } from 'vitest';
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

async function deploy(
  name: 'create' | 'update' | 'delete',
  migrations?: { name: string; sql: string }[],
  more: Record<string, string> = {},
): Promise<Answer> {
  const event = eventOf<CloudFormationCustomResourceEvent>('platform/migrate', name);
  const ResourceProperties = {
    ...event.ResourceProperties,
    ...(migrations && { migrations }),
    ...more,
  };
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
  expect(await deploy('update', undefined, { binlogRetentionHours: '72' })).toMatchObject({
    Status: 'SUCCESS',
  });
  expect(await rowsOf('select * from signalbox.asked')).toEqual([
    { name: 'binlog retention hours', hours: 72 },
  ]);
});
