import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { CloudWatchClient, PutMetricDataCommand } from '@aws-sdk/client-cloudwatch';
import {
  CreateFunctionCommand,
  GetFunctionConfigurationCommand,
  LambdaClient,
} from '@aws-sdk/client-lambda';
import type { RowDataPacket } from 'mysql2';
import { afterAll, expect, inject, test } from 'vitest';
import { resourceName, startedByHand, startedTag } from '../../lib/platform/names.ts';
import { clientOptions } from '../../local/emulator.ts';
import { connect } from '../../local/mysql.ts';
import { freePort } from '../../local/ports.ts';
import { ops, opsProcess, opsWith, sendDeadLetters, stackWith } from '../support/ops.ts';
import { started } from '../support/started.ts';

const product = await started('stack');
const here = ['--local', inject('dir')];
const actsHere = `This acts on the local stack of ${inject('dir')}.\n`;
/** A kill switch that no other test sets and whose scenario no other test of this stack pushes. */
const unusedSwitch = 'order/scenario-3';
const admin = await connect(product.mysql);
const folder = mkdtempSync(join(inject('dir'), 'functions-'));
afterAll(async () => {
  await admin.query("delete from signalbox.switch where name like 'order/scenario-%'");
  await admin.end();
});

/** Deploys a function that may be started by hand, and returns the options that select a stack with it. */
async function deploy(id: `${string}/${string}`, source: string) {
  const name = `test-${id.replace('/', '-')}`;
  writeFileSync(join(folder, 'index.mjs'), source);
  spawnSync('python3', ['-m', 'zipfile', '-c', `${name}.zip`, 'index.mjs'], { cwd: folder });
  const lambda = new LambdaClient(clientOptions(product.emulator));
  const { Role } = await lambda.send(
    new GetFunctionConfigurationCommand({ FunctionName: resourceName('platform/report-state') }),
  );
  await lambda.send(
    new CreateFunctionCommand({
      FunctionName: name,
      Code: { ZipFile: readFileSync(join(folder, `${name}.zip`)) },
      Handler: 'index.handler',
      Runtime: 'nodejs24.x',
      Role,
      Tags: { [startedTag]: startedByHand },
    }),
  );
  const stack = await stackWith();
  stack.write({ functions: { [id]: name } });
  return ['--local', stack.dir];
}

test('run invokes the function again until its answer has no `resume`, and shows the last answer', async () => {
  const there = await deploy(
    'test/count-down',
    `export const handler = async ({ from, done = 0 }) =>
      done + 2 < from
        ? { outcome: 'more', done, resume: { from, done: done + 2 } }
        : { outcome: 'counted', from, sums: { odd: 9, even: 6 }, rows: [{ n: 1 }, { n: 2 }] };`,
  );
  const file = join(folder, 'input.json');
  writeFileSync(file, '{"from":6}');
  const { status, out } = await ops('run', 'test/count-down', '--input', `@${file}`, ...there);
  expect(status).toBe(0);
  expect(out).toBe(`1: {"outcome":"more","done":0}
2: {"outcome":"more","done":2}
test/count-down
─────────────────────────
outcome           counted
from                    6
sums.odd                9
sums.even               6

rows
n
─
1
2
`);
});

test('run prints the command that resumes the work when a later invocation fails', async () => {
  const there = await deploy(
    'test/fail-third',
    `export const handler = async ({ at = 1 }) => {
      if (at === 3) throw new Error('the third is broken');
      return { outcome: 'more', resume: { at: at + 1 } };
    };`,
  );
  const { status, error } = await ops('run', 'test/fail-third', ...there);
  expect(status).toBe(1);
  expect(error).toBe(
    `This acts on the local stack of ${there[1]}.\ntest/fail-third failed: the third is broken\nResume with:\n  npm run ops -- run test/fail-third --input '{"at":3}' --local ${there[1]}\n`,
  );
});

test('run fails when the function answers with the input that it was given', async () => {
  const there = await deploy(
    'test/no-progress',
    `export const handler = async () => ({ outcome: 'more', resume: {} });`,
  );
  const { status, error } = await ops('run', 'test/no-progress', ...there);
  expect(status).toBe(1);
  expect(error).toContain('test/no-progress makes no progress');
});

test('run refuses an invalid input with the field and what was expected, before it invokes the function', async () => {
  const input = '{"name":"x","state":"maybe","by":"lena","why":"y"}';
  const { dir, write } = await stackWith();
  write({ functions: { 'platform/set-switch': 'gone' } });
  const args = ['run', 'platform/set-switch', '--input', input, '--local', dir];
  const { status, error } = await ops(...args);
  expect(status).toBe(2);
  expect(error).toMatch(
    /^platform\/set-switch was not started, because its input is not valid:\n {2}state: .*"off"\|"on"\n/,
  );
  expect(error).toContain('`npm run ops -- run platform/set-switch --help` shows its fields.');
});

test('run shows the error of a function that checks its input itself when this copy of the code does not know it', async () => {
  const there = await deploy(
    'test/refuse',
    `export const handler = async () => { throw new Error('The input is not valid: state: Expected x'); };`,
  );
  const { status, error } = await ops('run', 'test/refuse', '--input', '{"state":"y"}', ...there);
  expect(status).toBe(1);
  expect(error).toMatch(
    /^This acts on the local stack of .+\.\ntest\/refuse failed: The input is not valid: state: .*\n$/,
  );
});

test('switch off, list and on set a kill switch, show it, and record each change in the audit trail', async () => {
  const name = unusedSwitch;
  const by = `switcher-${process.pid}`;
  const off = await ops('switch', 'off', name, '--why', 'they book twice', '--by', by, ...here);
  expect(off.status).toBe(0);
  expect(off.out).toMatch(/before +never set/);
  expect(off.out).not.toContain('is the name the one');
  const listed = await ops('switch', 'list', ...here);
  expect(listed.out).toMatch(new RegExp(`${name} +off +${by} +[-0-9]+ [:0-9]+ +they book twice`));
  const on = await ops('switch', 'on', name, '--why', 'repaired', '--by', by, ...here);
  expect(on.out).toMatch(/released +0/);
  const [rows] = await admin.query<RowDataPacket[]>(
    'select what, why from signalbox.audit where who = ? order by id',
    [by],
  );
  expect(rows.map(({ what, why }) => [what, why])).toEqual([
    ['switch/off', 'they book twice'],
    ['switch/on', 'repaired'],
  ]);
});

test('switch list --all names every kill switch and what it stops, and families of switches by their pattern', async () => {
  const { status, out } = await ops('switch', 'list', '--all', ...here);
  expect(status).toBe(0);
  expect(out).toMatch(/^order\/singer +on .* all pushes; they wait$/m);
  expect(out).toMatch(/^order\/scenario-<n> +– .* pushes of scenario n, .* they wait$/m);
  expect(out).toMatch(/^partner\/k3 +on .* all calls to K3/m);
});

test('audit lists entries newest first, by person, action and text', async () => {
  const by = `auditor-${process.pid}`;
  const name = unusedSwitch;
  await ops('switch', 'off', name, '--why', '13812345678 complained', '--by', by, ...here);
  await ops('switch', 'on', name, '--why', 'repaired', '--by', by, ...here);
  const all = await ops('audit', '--by', by, ...here);
  expect(all.status).toBe(0);
  const [first, second] = all.out.split('\n').slice(2);
  expect(first).toMatch(new RegExp(`^[-0-9]+ [:.0-9]+ +${by} +switch/on +repaired +.*"${name}"`));
  expect(second).toContain('138****5678 complained');
  expect(all.out).not.toContain('13812345678');
  const some = await ops('audit', '--what', 'switch/off', '--about', name, '--max', '1', ...here);
  expect(some.out).toMatch(/ switch\/off /);
  expect(some.out).not.toContain('switch/on');
  const paged = await ops('audit', '--by', by, '--max', '1', ...here);
  const [, before = ''] = paged.out.match(/^There are older entries: --before (\d+)$/m) ?? [];
  const next = await ops('audit', '--by', by, '--before', before, ...here);
  expect(next.out.split('\n')[2]).toContain('switch/off');
  const none = await ops('audit', '--by', 'nobody', ...here);
  expect([none.status, none.out]).toEqual([0, 'No audit entry matches.\n']);
});

test('outbox list, retry and drop show refused rows, make them due, and delete them', async () => {
  const by = `outbox-${process.pid}`;
  const to = `queue:test/gone-${process.pid}`;
  const insert = async (body: string) =>
    await admin.query(
      `insert into signalbox.outbox (destination, body, due_at, attempts, reason)
       values (?, ?, now(3) + interval 1 hour, 7, 'there is no such queue')`,
      [to, body],
    );
  await insert('{"phone":"13812345678"}');
  await insert('{}');
  try {
    const listed = await ops('outbox', 'list', '--to', to, ...here);
    expect(listed.status).toBe(0);
    const [first = ''] = listed.out.split('\n').slice(2);
    expect(first).toMatch(
      / refused +[-0-9]+ [:.0-9]+ +7 +there is no such queue +\{"phone":"138\*{4}5678"\}$/,
    );
    const [id = ''] = first.split(' ');
    const retried = await ops('outbox', 'retry', id, '--why', 'there', '--by', by, ...here);
    expect([retried.status, retried.out]).toEqual([0, 'due-now: 1 outbox rows\n']);
    const args = ['outbox', 'drop', 'all', '--to', to, '--why', 'not wanted', '--by', by, ...here];
    const dry = await ops(...args, '--dry-run');
    expect([dry.status, dry.out]).toEqual([0, 'dry-run: 2 outbox rows\n']);
    const dropped = await ops(...args);
    expect([dropped.status, dropped.out]).toEqual([0, 'dropped: 2 outbox rows\n']);
    const none = await ops('outbox', 'list', '--to', to, ...here);
    expect(none.out).toBe('No row is refused or late.\n');
    const gone = await ops('outbox', 'drop', id, '--why', 'x', ...here);
    expect([gone.status, gone.error]).toEqual([
      2,
      expect.stringContaining(`There is no row ${id} in the outbox: it was sent or dropped`),
    ]);
    const trail = await ops('audit', '--by', by, ...here);
    expect(trail.out).toMatch(new RegExp(`${by} +outbox/drop +not wanted`));
    expect(trail.out).toMatch(new RegExp(`${by} +outbox/retry +there`));
  } finally {
    await admin.query('delete from signalbox.outbox where destination = ?', [to]);
  }
});

test('outbox retry names the kill switch that holds the row', async () => {
  const destination = `queue:test/held-${process.pid}`;
  await admin.query(
    "insert into signalbox.outbox (destination, body, due_at, held_by) values (?, '{}', now(3), 'charging')",
    [destination],
  );
  try {
    const listed = await ops('outbox', 'list', '--all', '--to', destination, ...here);
    const [, id = ''] = listed.out.match(/^(\d+) .* held by charging /m) ?? [];
    const { status, error } = await ops('outbox', 'retry', id, '--why', 'x', ...here);
    expect([status, error]).toEqual([
      1,
      `${actsHere}The kill switch charging holds row ${id}: \`switch on charging\` sends it.\n`,
    ]);
  } finally {
    await admin.query('delete from signalbox.outbox where destination = ?', [destination]);
  }
});

test('switch on says that there is no such kill switch when the name is misspelt', async () => {
  const { status, error } = await ops('switch', 'on', 'test:typo', '--why', 'x', ...here);
  expect(status).toBe(2);
  expect(error).toContain('There is no kill switch test:typo');
});

test('switch on says that a kill switch was never off when it was never set', async () => {
  const name = 'order/scenario-4';
  const { status, error } = await ops('switch', 'on', name, '--why', 'x', ...here);
  expect(status).toBe(2);
  expect(error).toContain(`${name} was never off`);
});

test('state shows delays and backlogs, and the size of every queue', async () => {
  const { dir, live, dead } = await stackWith('broker/apply-event', 'call/charge-call');
  await sendDeadLetters(live('broker/apply-event'), [{ body: '{}' }, { body: '{}' }]);
  await sendDeadLetters(dead('call/charge-call'), [{ body: '{}', reason: 'x' }]);
  // SQS writes this metric itself; the emulator does not.
  await new CloudWatchClient(clientOptions(product.emulator)).send(
    new PutMetricDataCommand({
      Namespace: 'AWS/SQS',
      MetricData: [
        {
          MetricName: 'ApproximateAgeOfOldestMessage',
          Dimensions: [{ Name: 'QueueName', Value: live('broker/apply-event').split('/').at(-1) }],
          Value: 4711,
        },
      ],
    }),
  );
  const { status, out } = await ops('state', '--local', dir);
  expect(status).toBe(0);
  expect(out).toMatch(/^outbox\.overdue +0$/m);
  expect(out).toMatch(/^broker\/apply-event +2 +0 +0 +4,711 +0$/m);
  expect(out).toMatch(/^call\/charge-call +0 +0 +0 +– +1$/m);
});

test('state shows all but the ages and names the missing permission when cloudwatch:GetMetricData is refused', async () => {
  const { dir, live, write } = await stackWith('broker/apply-event');
  await sendDeadLetters(live('broker/apply-event'), [{ body: '{}' }]);
  const { url, close } = await awsWithout('GetMetricData');
  write({ aws: url });
  const { status, out, error } = await ops('state', '--local', dir);
  close();
  expect(out).toMatch(/^outbox\.overdue +\d+$/m);
  expect(out).toMatch(/^broker\/apply-event +1 +0 +0 +– +0$/m);
  expect([status, error]).toEqual([
    1,
    expect.stringContaining('(this needs cloudwatch:GetMetricData on *): '),
  ]);
});

test('run starts nothing and names the missing permission when lambda:ListTags is refused', async () => {
  const { dir, write } = await stackWith();
  const { url, close } = await awsWithout('Tags');
  write({ aws: url });
  const { status, out, error } = await ops('run', 'platform/report-state', '--local', dir);
  close();
  expect([status, out]).toEqual([1, '']);
  expect(error).toContain(
    'Lambda returned no tags (this needs lambda:GetFunction, lambda:ListTags',
  );
});

/** Starts a proxy to the emulator for an identity without a permission: refuses `GetMetricData`, or removes `Tags`. */
async function awsWithout(missing: 'GetMetricData' | 'Tags') {
  const server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part);
    const body = Buffer.concat(parts);
    const isRefused = `${request.url} ${request.headers['x-amz-target']} ${body}`.includes(missing);
    if (isRefused) {
      response.writeHead(403, { 'content-type': 'application/x-amz-json-1.0' });
      const message = `not authorized to perform: ${missing}`;
      response.end(JSON.stringify({ __type: 'AccessDeniedException', message }));
      return;
    }
    const { host: _host, connection: _connection, ...headers } = request.headers;
    const answer = await fetch(product.emulator.url + request.url, {
      method: request.method ?? 'GET',
      headers: headers as Record<string, string>,
      ...(body.length && { body }),
    });
    const text = await answer.text();
    const type = answer.headers.get('content-type') ?? 'application/json';
    response.writeHead(answer.status, { 'content-type': type });
    response.end(missing === 'Tags' && type.includes('json') ? withoutTags(text) : text);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${port}`, close };
}

/** Returns a Lambda answer as it is without the permission `lambda:ListTags`. */
function withoutTags(text: string): string {
  const { Tags: _, ...answer } = JSON.parse(text);
  const TagsError = { ErrorCode: 'AccessDeniedException', Message: 'lambda:ListTags is refused' };
  return JSON.stringify({ ...answer, TagsError });
}

const blank = ['--why', 'x', '--by', ' '];
const long = ['--why', 'x'.repeat(501)];
const oneRow = ['outbox', 'retry', '1'];
const letters = ['dead', 'redrive', 'broker/apply-event'];

test.each([
  [['switch', 'off', 'order/scenario-5', ...blank], '--by: '],
  [['switch', 'on', 'order/scenario-5', ...long], '--why: '],
  [['switch', 'off', 'no name', '--why', 'x'], '<name>: Expected up to 100 letters'],
  [[...letters, ...blank], '--by: '],
  [[...letters, ...long], '--why: '],
  [['dead', 'drop', 'broker/apply-event', ...long], '--why: '],
  [[...oneRow, ...blank], '--by: '],
  [['outbox', 'drop', '9999999999999999999', '--why', 'x'], '<id>: Expected the id of a row'],
])(
  '%j is refused with the name of the invalid field before anything is started',
  async (args, field) => {
    const { dir, write } = await stackWith('broker/apply-event');
    write({ functions: {} });
    const { status, out, error } = await ops(...args, '--local', dir);
    expect([status, out]).toEqual([2, '']);
    expect(error).toContain(field);
    expect(error).not.toContain('This acts on');
  },
);

test.each([
  [['switch', 'off', 'order/scenario-5', '--why', 'x']],
  [['switch', 'on', 'order/scenario-5', '--why', 'x']],
  [[...letters, '--why', 'x']],
  [['dead', 'drop', 'broker/apply-event', '--why', 'x']],
  [[...oneRow, '--why', 'x']],
  [['outbox', 'drop', '1', '--why', 'x']],
  [['run', 'platform/report-state']],
])('%j names its stack on stderr before it acts', async (args) => {
  const { dir, write } = await stackWith('broker/apply-event');
  const { 'platform/report-state': state = '' } = product.endpoints.functions;
  write({ functions: { 'platform/report-state': state } });
  const { error } = await ops(...args, '--local', dir);
  expect(error.split('\n')[0]).toBe(`This acts on the local stack of ${dir}.`);
});

test('outbox retry names the account and the region that it acts on when --cloud is given', async () => {
  const args = ['outbox', 'retry', '9223372036854775807', '--why', 'x', '--cloud'];
  const { status, error } = await opsProcess(args, product.emulator.env).ended;
  expect(error).toMatch(
    /^This acts on the stack deployed in account \d{12}, region [a-z]+-[a-z]+-\d\.\n/,
  );
  expect(status).toBe(2);
});

test.each([
  [['run', 'broker/nothing', ...here], 'There is no function broker/nothing. There are: broker/'],
  [['run', 'broker/apply-event', ...here], 'broker/apply-event is not started by hand'],
  [['run', 'platform/report-state', '--input', '{', ...here], '--input is not JSON: '],
  [['run', 'platform/report-state', '--input', '@no.json', ...here], 'the file cannot be read.'],
  [['run', ...here], 'Expected a function after the command.'],
  [
    ['dead', 'peek', 'broker/nothing', ...here],
    'No function broker/nothing has a queue in this stack.',
  ],
  [['dead', 'redrive', 'broker/apply-event', ...here], '`dead redrive` needs --why'],
  [['dead', 'drop', 'all', '--why', 'x', ...here], 'No function all has a queue in this stack.'],
  [['dead', 'peek', 'broker/apply-event', '--max', '0', ...here], '--max 0: expected a positive'],
  [['dead', 'list', '--why', 'x', ...here], "Unknown option '--why'"],
  [
    ['dead', 'burn', ...here],
    'There is no command `dead burn`; there are: list, peek, redrive, drop.',
  ],
  [['burn'], 'There is no command `burn`.'],
  [['switch', 'off', 'x', ...here], '`switch off` needs --why'],
  [['state', '--cloud', ...here], 'Use either --cloud or --local, not both.'],
  [['audit', '--since', '2026-02-30 00:00:00', ...here], '--since: Expected a time that exists'],
  [
    ['outbox', 'drop', 'x', '--why', 'x', ...here],
    'x is not the id of a row: `outbox list` shows the ids.',
  ],
  [['outbox', 'drop', '1', ...here], '`outbox drop` needs --why'],
  [['outbox', 'drop', 'all', '--why', 'x', ...here], '`outbox drop all` needs --to DESTINATION'],
  [['outbox', 'list', '--to', 'x', ...here], '--to: Expected a destination'],
  [['audit', '--max', '1000', ...here], '--max: '],
  [
    ['dead', 'peek', 'broker/apply-event', '--look', '60000', ...here],
    '--look 60000: at most 50000',
  ],
])('%j is refused with a reason', async (args, reason) => {
  const { status, out, error } = await ops(...args);
  expect(error).toContain(reason);
  expect(error).toContain('`npm run ops -- --help` lists the commands.');
  expect([status, out]).toEqual([2, '']);
});

test('state --cloud finds functions and queues by their names, with the credentials of the environment', async () => {
  const { ended } = opsProcess(['state', '--cloud'], product.emulator.env);
  const { status, out, error } = await ended;
  expect([status, error]).toEqual([0, '']);
  expect(out).toMatch(/^outbox\.overdue +\d+$/m);
  expect(out).toMatch(/^broker\/apply-event( +\d+){3} +(–|[\d,]+) +\d+$/m);
});

test('run resolves relative paths of --local and --input from the folder in which it is typed', async () => {
  const { dir } = await stackWith();
  writeFileSync(join(dir, 'broken.json'), '{');
  const args = ['run', 'platform/report-state', '--input', '@broken.json', '--local', '.'];
  const { status, error } = await opsWith({ typedIn: dir }, ...args);
  expect([status, error]).toEqual([2, expect.stringMatching(/^--input is not JSON: /)]);
});

test('state names the missing file when no local stack exists, and the address when the stack does not answer', async () => {
  const none = await ops('state', '--local', folder);
  expect(none.error).toContain(`No local stack is running: ${folder}/endpoints.json is missing.`);
  const { dir, write } = await stackWith();
  const aws = `http://127.0.0.1:${await freePort('nobody', undefined)}`;
  write({ aws });
  const gone = await ops('state', '--local', dir);
  expect(gone.error).toContain(
    `The local stack of ${dir} does not answer at ${aws}: start it again.`,
  );
  expect([none.status, gone.status]).toEqual([2, 2]);
});

test.each([
  [[], 'npm run ops -- dead redrive'],
  [['--help'], 'npm run ops -- state'],
  [['dead', '--help'], 'npm run ops -- dead peek <id>'],
  [['dead', 'redrive', '--help'], '--dry-run      counts the letters and changes nothing'],
  [['run', '--help'], '--input JSON|@FILE'],
])('%j prints the help', async (args, text) => {
  const { status, out, error } = await ops(...args);
  expect(out).toContain(text);
  expect([status, error]).toEqual([0, '']);
});
