import { createServer, type Server } from 'node:http';
import {
  ChangeMessageVisibilityBatchCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  SQSClient,
  type SQSClientConfig,
} from '@aws-sdk/client-sqs';
import type { RowDataPacket } from 'mysql2';
import { afterAll, expect, test } from 'vitest';
import { connect } from '../../local/mysql.ts';
import { faultyAws } from '../support/faulty-aws.ts';
import { ops, opsProcess, opsWith, sendDeadLetters, sqsWith, stackWith } from '../support/ops.ts';
import { sqs, take } from '../support/queues.ts';
import { started } from '../support/started.ts';

const stack = await started('stack');
const id = 'broker/apply-event';
const unavailable = 'connect ECONNREFUSED';
const invalid = 'broker_ids: Expected positive ids joined by commas';
const admin = await connect(stack.mysql);
afterAll(async () => {
  await admin.end();
});

/** Dead letters in mixed order: 15 whose database was unavailable, 10 whose body is invalid. */
const twentyFive = Array.from({ length: 25 }, (_, index) => ({
  body: JSON.stringify({ broker_ids: String(index + 1), flag: 2 }),
  reason: index % 5 < 3 ? unavailable : invalid,
}));
const bodiesOf = (reason: string) =>
  twentyFive.filter((letter) => letter.reason === reason).map(({ body }) => body);

const bodies = async (url: string) => (await take(url)).map(({ Body = '' }) => Body);

/** Returns the audit entries of one test, which has a `by` of its own. */
async function auditEntries(by: string) {
  const [rows] = await admin.query<RowDataPacket[]>(
    'select what, why, detail from signalbox.audit where who = ? order by id',
    [by],
  );
  return rows.map(({ what, why, detail }) => ({ what, why, detail }));
}

/** Returns the numbers of visible messages and of messages in flight. */
async function sizes(QueueUrl: string): Promise<[visible: number, inFlight: number]> {
  const { Attributes = {} } = await sqs().send(
    new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] }),
  );
  return [
    Number(Attributes['ApproximateNumberOfMessages']),
    Number(Attributes['ApproximateNumberOfMessagesNotVisible']),
  ];
}

async function withLetters() {
  const stack = await stackWith(id);
  await sendDeadLetters(stack.dead(id), twentyFive);
  return { ...stack, dead: stack.dead(id), live: stack.live(id) };
}

test('dead list counts letters by reason and puts all of them back', async () => {
  const { dir, dead } = await withLetters();
  const { status, out } = await ops('dead', 'list', '--local', dir);
  expect(status).toBe(0);
  const lines = out.split('\n').map((line) => line.trim().split(/\s{2,}/));
  expect(lines[2]).toEqual([id, '25']);
  expect([lines[3]?.[0], lines[3]?.[2]]).toEqual(['15', unavailable]);
  expect([lines[4]?.[0], lines[4]?.[2]]).toEqual(['10', invalid]);
  expect(await sizes(dead)).toEqual([25, 0]);
});

test('dead list says that all dead-letter queues are empty when they are', async () => {
  const { dir } = await stackWith(id);
  const { out } = await ops('dead', 'list', '--local', dir);
  expect(out).toBe('All 1 dead-letter queues are empty.\n');
});

test('dead peek shows the letters with a reason, masked unless --full is given, and puts them back at once', async () => {
  const { dir, dead } = await withLetters();
  const body = '{"phone":"13812345678","openid":"oABC","flag":2}';
  await sendDeadLetters(dead, [{ body, reason: 'phone: 13812345678 is none' }]);
  const masked = await ops('dead', 'peek', id, '--reason', 'PHONE', '--local', dir);
  expect(masked.out).toContain('reason  phone: 138****5678 is none');
  expect(masked.out).toContain('body    {"phone":"138****5678","openid":"***","flag":2}');
  expect(masked.out.match(/body {4}/g)).toHaveLength(1);
  const full = await ops('dead', 'peek', id, '--reason', 'phone', '--full', '--local', dir);
  expect(full.out).toContain(`body    ${body}`);
  const two = await ops('dead', 'peek', id, '--max', '2', '--local', dir);
  expect(two.out.match(/body {4}/g)).toHaveLength(2);
  expect(await sizes(dead)).toEqual([26, 0]);
});

test('dead redrive --reason moves all letters with that reason, and records who and why', async () => {
  const { dir, dead, live } = await withLetters();
  const by = `redriver-${process.pid}`;
  const { status, out } = await ops(
    ...['dead', 'redrive', id, '--reason', 'econnrefused', '--local', dir],
    ...['--why', 'the database is back', '--by', by],
  );
  expect(status).toBe(0);
  expect(out.trim().split('\n').at(-1)?.split(/\s+/)).toEqual([id, '15', '10', '0', '0']);
  expect((await bodies(live)).toSorted()).toEqual(bodiesOf(unavailable).toSorted());
  expect(await sizes(dead)).toEqual([10, 0]);
  expect((await bodies(dead)).toSorted()).toEqual(bodiesOf(invalid).toSorted());
  const common = { what: 'dead/redrive', why: 'the database is back' };
  expect(await auditEntries(by)).toEqual([
    { ...common, detail: { id, reason: 'econnrefused', phase: 'begun' } },
    {
      ...common,
      detail: {
        id,
        reason: 'econnrefused',
        phase: 'ended',
        done: 15,
        others: 10,
        cameBack: 0,
        failed: 0,
      },
    },
  ]);
});

test('dead redrive all moves letters of every queue, --max of each, whether that is less or more than a batch of ten', async () => {
  const other = 'call/charge-call';
  const stack = await stackWith(id, other);
  for (const queue of [id, other]) await sendDeadLetters(stack.dead(queue), twentyFive);
  const { status } = await ops(
    ...['dead', 'redrive', 'all', '--max', '7', '--why', 'a try', '--local', stack.dir],
  );
  expect(status).toBe(0);
  for (const queue of [id, other]) {
    expect(await bodies(stack.live(queue))).toHaveLength(7);
    expect(await sizes(stack.dead(queue))).toEqual([18, 0]);
  }
  // 13 letters are two batches, the second of them incomplete; `bodies` has emptied the live queue above.
  await ops(...['dead', 'redrive', id, '--max', '13', '--why', 'a try', '--local', stack.dir]);
  expect(await sizes(stack.dead(id))).toEqual([5, 0]);
  const rest = await ops('dead', 'peek', id, '--max', '4', '--local', stack.dir);
  expect(rest.out.match(/body {4}/g)).toHaveLength(4);
  await ops('dead', 'drop', id, '--max', '5', '--why', 'a try', '--local', stack.dir);
  expect(await sizes(stack.dead(id))).toEqual([0, 0]);
});

test('dead redrive and drop count letters and neither change nor record anything when --dry-run is given', async () => {
  const { dir, dead, live } = await withLetters();
  for (const verb of ['redrive', 'drop']) {
    const by = `dry-${verb}-${process.pid}`;
    const { status, out } = await ops(
      ...['dead', verb, id, '--reason', invalid, '--dry-run', '--by', by, '--local', dir],
    );
    expect(status).toBe(0);
    expect(out).toContain(`would be ${verb === 'drop' ? 'dropped' : 'redriven'}`);
    expect(out.trim().split('\n').at(-1)?.split(/\s+/)).toEqual([id, '10', '15', '0', '0']);
    expect(await auditEntries(by)).toEqual([]);
  }
  expect(await sizes(dead)).toEqual([25, 0]);
  expect(await sizes(live)).toEqual([0, 0]);
});

test('dead drop --reason deletes the letters with that reason and no others', async () => {
  const { dir, dead, live } = await withLetters();
  const { status } = await ops(
    ...['dead', 'drop', id, '--reason', invalid, '--why', 'the sender corrected them'],
    ...['--local', dir],
  );
  expect(status).toBe(0);
  expect(await sizes(live)).toEqual([0, 0]);
  expect((await bodies(dead)).toSorted()).toEqual(bodiesOf(unavailable).toSorted());
});

test('dead redrive moves a letter without a reason, which SQS dead-lettered itself', async () => {
  const { dir, dead, live } = await withLetters();
  await take(dead);
  await sendDeadLetters(dead, [{ body: '{"one":1}' }]);
  const shown = await ops('dead', 'peek', id, '--reason', 'no reason', '--local', dir);
  expect(shown.out).toContain('{"one":1}');
  await ops('dead', 'redrive', id, '--why', 'repaired', '--local', dir);
  expect(await bodies(live)).toEqual(['{"one":1}']);
  expect(await sizes(dead)).toEqual([0, 0]);
});

/** Starts a proxy to SQS. `before` and `after` are called for each call with its body and its answer, and may block it. */
async function proxy(
  before: (call: string, body: string) => Promise<void> | void,
  after: (call: string, answer: string) => Promise<void> | void = () => {},
): Promise<{ server: Server; url: string }> {
  const { aws } = stack.endpoints;
  const server = createServer(async (request, response) => {
    let body = '';
    request.setEncoding('utf8');
    for await (const part of request) body += part;
    const call = String(request.headers['x-amz-target'] ?? request.url).replace('AmazonSQS.', '');
    await before(call, body);
    const { host: _host, connection: _connection, ...headers } = request.headers;
    const answer = await fetch(aws + request.url, {
      method: request.method ?? 'GET',
      headers: headers as Record<string, string>,
      ...(body && { body }),
    });
    const text = await answer.text();
    await after(call, text);
    response.writeHead(answer.status, {
      'content-type': answer.headers.get('content-type') ?? 'application/x-amz-json-1.0',
      ...(answer.headers.has('x-amz-function-error') && {
        'x-amz-function-error': answer.headers.get('x-amz-function-error') ?? '',
      }),
    });
    response.end(text);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  return { server, url: `http://127.0.0.1:${port}` };
}

const redriveArgs = (dir: string) => [
  ...['dead', 'redrive', id, '--why', 'the database is back', '--local', dir],
];

const actsOn = (dir: string) => `This acts on the local stack of ${dir}.\n`;

const onlyUnavailable = ['--reason', unavailable];

/** The SQS call before or after which the redrive crashes. */
test.each([
  ['before', 'ReceiveMessage', 1],
  ['after', 'ReceiveMessage', 2],
  ['before', 'SendMessageBatch', 2],
  ['before', 'DeleteMessageBatch', 2],
  ['after', 'DeleteMessageBatch', 2],
  ['before', 'ChangeMessageVisibilityBatch', 1],
] as const)(
  'dead redrive sends no letter more than twice and loses none when it crashes %s its %s no. %i',
  async (moment, at, nth) => {
    const stack = await withLetters();
    const handles: string[] = [];
    let calls = 0;
    const crashed = Promise.withResolvers<'crashed'>();
    const crash = async (): Promise<void> => {
      crashed.resolve('crashed');
      await new Promise(() => {}); // The command stops here for good.
    };
    const makeSqs = sqsWith(
      async (call) => {
        if (call !== at) return;
        calls += 1;
        if (moment === 'before' && calls === nth) await crash();
      },
      async (call, output) => {
        if ('Messages' in output)
          handles.push(...(output.Messages ?? []).map(({ ReceiptHandle = '' }) => ReceiptHandle));
        if (moment === 'after' && call === at && calls === nth) await crash();
      },
    );
    const running = opsWith({ makeSqs }, ...redriveArgs(stack.dir), ...onlyUnavailable);
    expect(await Promise.race([running, crashed.promise])).toBe('crashed');
    await redriveAfterCrash(stack, handles);
  },
);

test('dead redrive sends no letter more than twice and loses none when its process is killed after its SendMessageBatch no. 2', async () => {
  const stack = await withLetters();
  const handles: string[] = [];
  let sends = 0;
  const killed = Promise.withResolvers<void>();
  const { server, url } = await proxy(
    () => {},
    async (call, answer) => {
      if (call === 'ReceiveMessage')
        for (const { ReceiptHandle } of JSON.parse(answer).Messages ?? [])
          handles.push(ReceiptHandle);
      if (call !== 'SendMessageBatch' || ++sends !== 2) return;
      process.kill(running.child.pid ?? 0, 'SIGKILL');
      killed.resolve();
      await new Promise(() => {}); // The call never gets its answer.
    },
  );
  stack.write({ aws: url });
  const running = opsProcess([...redriveArgs(stack.dir), ...onlyUnavailable]);
  await killed.promise;
  expect((await running.ended).status).toBeNull();
  server.closeAllConnections();
  server.close();
  stack.write();
  await redriveAfterCrash(stack, handles);
});

/** Redrives again once the letters of the first redrive are visible, and checks both queues. */
async function redriveAfterCrash(
  { dir, dead, live }: Awaited<ReturnType<typeof withLetters>>,
  handles: readonly string[],
): Promise<void> {
  if (handles.length) await putBack(dead, handles); // Otherwise their visibility timeout would have to pass.
  expect((await ops(...redriveArgs(dir), ...onlyUnavailable)).status).toBe(0);
  const arrived = await bodies(live);
  expect(new Set(arrived)).toEqual(new Set(bodiesOf(unavailable)));
  expect(arrived.length).toBeLessThanOrEqual(15 + 10);
  expect((await bodies(dead)).toSorted()).toEqual(bodiesOf(invalid).toSorted());
}

/** Makes messages visible again; handles of deleted messages are ignored. */
async function putBack(QueueUrl: string, handles: readonly string[]): Promise<void> {
  for (let start = 0; start < handles.length; start += 10) {
    const Entries = handles.slice(start, start + 10).map((ReceiptHandle, index) => ({
      Id: String(index),
      ReceiptHandle,
      VisibilityTimeout: 0,
    }));
    await sqs().send(new ChangeMessageVisibilityBatchCommand({ QueueUrl, Entries }));
  }
}

test('dead redrive puts its letters back at once and says that it was interrupted when Ctrl-C is pressed', async () => {
  const { dir, dead, write } = await withLetters();
  let receives = 0;
  const { server, url } = await proxy((call) => {
    if (call === 'ReceiveMessage' && ++receives === 2) running.child.kill('SIGINT');
  });
  write({ aws: url });
  const args = [...redriveArgs('.'), '--reason', 'nothing has this reason'];
  const running = opsProcess(args, { INIT_CWD: dir }); // npm sets INIT_CWD to the folder in which the command was typed.
  const { status, error } = await running.ended;
  server.close();
  expect(status).toBe(1);
  expect(error).toBe(`${actsOn(dir)}Interrupted before all letters were received.\n`);
  expect(await sizes(dead)).toEqual([25, 0]);
});

test('dead redrive sends no letter a second time when its consumer dead-letters it again during the redrive', async () => {
  const { dir, dead, live } = await withLetters();
  await take(dead);
  await sendDeadLetters(dead, twentyFive.slice(0, 3));
  // Before the next receive the consumer has dead-lettered every message again, as consume.ts does.
  const makeSqs = sqsWith(async (call) => {
    if (call !== 'ReceiveMessage') return;
    for (const { MessageId = '', Body = '' } of await take(live))
      await deadLetterAgain(dead, Body, MessageId);
  });
  const { status, out } = await opsWith({ makeSqs }, ...redriveArgs(dir));
  expect(status).toBe(0);
  expect(out.trim().split('\n').at(-1)?.split(/\s+/)).toEqual([id, '3', '0', '3', '0']);
  expect(await sizes(dead)).toEqual([3, 0]);
});

async function deadLetterAgain(QueueUrl: string, body: string, messageId: string): Promise<void> {
  const text = (StringValue: string) => ({ DataType: 'String', StringValue });
  await sqs().send(
    new SendMessageCommand({
      QueueUrl,
      MessageBody: body,
      MessageAttributes: {
        reason: text(unavailable),
        messageId: text(messageId),
        sentAt: text('1'),
      },
    }),
  );
}

test('dead redrive moves nothing when the audit trail cannot be written', async () => {
  const { dir, dead, live, write } = await withLetters();
  const functions = { ...stack.endpoints.functions, 'platform/record-action': 'gone' };
  write({ functions });
  const { status, error } = await ops(...redriveArgs(dir));
  expect(status).toBe(2);
  expect(error).toContain('platform/record-action is not deployed in this stack: deploy first.');
  expect(await sizes(dead)).toEqual([25, 0]);
  expect(await sizes(live)).toEqual([0, 0]);
});

/** Receives letters and leaves them in flight, as a killed command does. */
async function leaveInFlight(
  QueueUrl: string,
  letters: number,
  VisibilityTimeout: number,
): Promise<void> {
  for (let count = 0; count < letters; ) {
    const MaxNumberOfMessages = Math.min(10, letters - count);
    const { Messages = [] } = await sqs().send(
      new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages, VisibilityTimeout }),
    );
    count += Messages.length;
  }
}

const inFlightPattern = (count: number) =>
  new RegExp(
    `^${count} letters of ${id} are in flight: .* visible again at [-0-9]+ [:0-9]+ at the latest\\. .*--wait`,
    'm',
  );

test.each([
  ['redrive', '--why', 'x'],
  ['redrive', '--dry-run'],
  ['drop', '--why', 'x'],
  ['drop', '--dry-run'],
  ['peek'],
])(
  'dead %s fails and says how many letters are in flight and until when when another command has received them',
  async (verb, ...rest) => {
    const { dir, dead, live } = await withLetters();
    await leaveInFlight(dead, 25, 60);
    const { status, out, error } = await ops('dead', verb, id, ...rest, '--local', dir);
    expect([status, out]).toEqual([1, '']);
    expect(error).toMatch(inFlightPattern(25));
    expect(await sizes(dead)).toEqual([0, 25]);
    expect(await sizes(live)).toEqual([0, 0]);
  },
);

test('dead redrive moves the visible letters and fails with the number in flight when another command has received some', async () => {
  const { dir, dead, live } = await withLetters();
  await leaveInFlight(dead, 13, 60);
  for (const word of [id, 'all']) {
    const { status, out, error } = await ops(
      ...['dead', 'redrive', word, '--why', 'x', '--local', dir],
    );
    expect(status).toBe(1);
    expect(error).toMatch(inFlightPattern(13));
    if (word === id) expect(out).toMatch(new RegExp(`^${id} +12 +0 +0 +0$`, 'm'));
    else expect(out).toBe('');
  }
  expect(await sizes(live)).toEqual([12, 0]);
  expect(await sizes(dead)).toEqual([0, 13]);
});

test('dead list says how many letters it could not count by reason when another command has received them', async () => {
  const { dir, dead } = await withLetters();
  await leaveInFlight(dead, 13, 60);
  const { status, out } = await ops('dead', 'list', '--local', dir);
  expect(status).toBe(0);
  expect(out).toMatch(new RegExp(`^${id} +25$`, 'm'));
  expect(out).toContain(`${id}: 13 of these letters are in flight and not counted by reason.`);
});

test('dead peek names the person of an unfinished redrive, which hides letters for 75 s at most', async () => {
  const { dir, write } = await withLetters();
  const hiddenFor: number[] = [];
  const { server, url } = await proxy((call, body) => {
    if (call === 'ReceiveMessage') hiddenFor.push(JSON.parse(body).VisibilityTimeout);
  });
  write({ aws: url });
  const by = `killed-${process.pid}`;
  const crashed = Promise.withResolvers<void>();
  let receives = 0;
  const makeSqs = sqsWith(async (call) => {
    if (call !== 'ReceiveMessage' || ++receives < 4) return;
    crashed.resolve();
    await new Promise(() => {}); // The command stops here for good.
  });
  const args = [...redriveArgs(dir), '--reason', 'nothing has this reason', '--by', by];
  void opsWith({ makeSqs }, ...args);
  await crashed.promise;
  const { status, error } = await ops('dead', 'peek', id, '--local', dir);
  server.close();
  expect(status).toBe(1);
  expect(error).toMatch(inFlightPattern(25));
  expect(error).toMatch(
    new RegExp(
      `${by} began dead/redrive at [-0-9]+ [:.0-9]+ \\(the database is back\\), which has not ended`,
    ),
  );
  expect(Math.max(...hiddenFor)).toBeLessThanOrEqual(75);
});

/** Writes an audit entry like that of a redrive. */
async function recordRedrive(dir: string, by: string, detail: Readonly<Record<string, unknown>>) {
  const input = JSON.stringify({ by, what: 'dead/redrive', why: 'the database is back', detail });
  const { status } = await ops(
    ...['run', 'platform/record-action', '--input', input, '--local', dir],
  );
  expect(status).toBe(0);
}

test('dead peek does not name a killed redrive when a later one of the same person has ended, and ignores other entries', async () => {
  const { dir, dead } = await withLetters();
  const by = `repeater-${process.pid}`;
  await recordRedrive(dir, by, { id, phase: 'begun' });
  const killed = await peekInFlight(dir, dead);
  expect(killed).toContain(`${by} began dead/redrive at `);
  await recordRedrive(dir, by, { id, phase: 'begun' });
  await recordRedrive(dir, by, { id, phase: 'ended', done: 25 });
  await recordRedrive(dir, by, { id, letters: 'by hand' });
  await recordRedrive(dir, by, { id, phase: 3 });
  const followed = await peekInFlight(dir, dead);
  expect(followed).not.toContain(`${by} began`);
  expect(followed).not.toMatch(/invalid_type|expected/i);
  expect(followed).toMatch(inFlightPattern(25));
});

async function peekInFlight(dir: string, dead: string): Promise<string> {
  const [visible] = await sizes(dead);
  if (visible) await leaveInFlight(dead, visible, 60);
  const { status, error } = await ops('dead', 'peek', id, '--local', dir);
  expect(status).toBe(1);
  return error;
}

test('dead redrive says how many letters are on both queues when SQS refuses to delete them', async () => {
  const { dir, dead, live } = await withLetters();
  const { url, faults, close } = await faultyAws();
  const makeSqs = (config: SQSClientConfig) => new SQSClient({ ...config, endpoint: url });
  faults.push({ refuse: [1] }, { refuse: [0] }); // Of the first ten letters one is not sent and one is not deleted.
  const by = `refused-${process.pid}`;
  const { status, out, error } = await opsWith({ makeSqs }, ...redriveArgs(dir), '--by', by);
  close();
  expect(out).toMatch(new RegExp(`^${id} +23 +0 +0 +2$`, 'm'));
  expect([status, error]).toEqual([
    1,
    expect.stringMatching(
      /^SQS refused 1 letters; they are still on the dead-letter queue\.\nSQS sent 1 letters but refused to delete them: they are on both queues\./m,
    ),
  ]);
  expect((await sizes(live))[0]).toBe(24);
  expect((await sizes(dead))[0]).toBe(2);
  expect((await auditEntries(by)).at(-1)).toMatchObject({
    detail: { done: 23, failed: 2, onBoth: 1 },
  });
});

test('dead redrive --wait moves letters in flight as soon as they are visible again', async () => {
  const { dir, dead, live } = await withLetters();
  await leaveInFlight(dead, 25, 2);
  const { status, out, error } = await ops(...redriveArgs(dir), '--wait');
  expect(error).toBe(`${actsOn(dir)}Waiting for 25 letters in flight, at most 75 s.\n`);
  expect([status, out]).toEqual([
    0,
    expect.stringMatching(new RegExp(`^${id} +25 +0 +0 +0$`, 'm')),
  ]);
  expect(await sizes(live)).toEqual([25, 0]);
});

const noMatch = ['--reason', 'nothing has this reason'];

test('dead peek and redrive receive no more letters than --look says, put them back, and say how to receive more', async () => {
  const { dir, dead } = await withLetters();
  const limit = 'Received 10 of about 25 letters, the limit. Use --look 25 to receive more.';
  const peeked = await ops('dead', 'peek', id, ...noMatch, '--look', '10', '--local', dir);
  expect([peeked.status, peeked.out]).toEqual([0, `No letter matches. ${limit}\n`]);
  const redriven = await ops(...redriveArgs(dir), ...noMatch, '--look', '10');
  expect(redriven.out).toMatch(new RegExp(`^${id} +0 +10 +0 +0$`, 'm'));
  expect([redriven.status, redriven.error]).toEqual([1, `${actsOn(dir)}${id}: ${limit}\n`]);
  expect(await sizes(dead)).toEqual([25, 0]);
  const more = await ops('dead', 'peek', id, ...noMatch, '--look', '25', '--local', dir);
  expect(more.out).toBe('No letter matches.\n');
});

test('dead peek and redrive stop after a minute, show progress, and say that the command has to be run again', async () => {
  const { dir, dead } = await withLetters();
  const slow = () => {
    let ms = Date.now();
    return { now: () => (ms += 12_000) };
  };
  const limit =
    /Received \d+ of about 25 letters in 60 s, the limit\. Run the command again: it starts over, and SQS may return other letters first\./;
  const peeked = await opsWith(slow(), 'dead', 'peek', id, ...noMatch, '--local', dir);
  expect([peeked.status, peeked.out]).toEqual([0, expect.stringMatching(limit)]);
  expect(peeked.error).toMatch(/^10 of about 25 letters received, \d\d s$/m);
  const redriven = await opsWith(slow(), ...redriveArgs(dir), ...noMatch);
  expect([redriven.status, redriven.error]).toEqual([1, expect.stringMatching(limit)]);
  expect(await sizes(dead)).toEqual([25, 0]);
});

test('dead redrive finds the few letters with a reason among hundreds of others', async () => {
  const { dir, dead, live } = await withLetters();
  const [first, ...others] = Array.from({ length: 100 }, (_, index) => ({
    body: `${index}`,
    reason: invalid,
  }));
  for (let part = 0; part < 6; part++)
    await sendDeadLetters(dead, [...others, { ...first, body: `p${part}`, reason: 'rare' }]);
  const { status, out } = await ops(...redriveArgs(dir), '--reason', 'rare');
  expect(status).toBe(0);
  expect(out).toMatch(new RegExp(`^${id} +6 +619 +0 +0$`, 'm'));
  expect(await sizes(live)).toEqual([6, 0]);
  expect(await sizes(dead)).toEqual([619, 0]);
});
