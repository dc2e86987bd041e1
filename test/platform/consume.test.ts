import { randomUUID } from 'node:crypto';
import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import {
  ReceiveMessageCommand,
  SendMessageCommand,
  SetQueueAttributesCommand,
} from '@aws-sdk/client-sqs';
import type { SQSEvent, SQSRecord } from 'aws-lambda';
import { sql } from 'kysely';
import { beforeEach, expect, test, vi } from 'vitest';
import * as z from 'zod';
import { Postponed, Rejected, Unavailable } from '../../lib/platform/errors.ts';
import { attemptsMax, consume, consumeBatch } from '../../lib/platform/messaging/consume.ts';
import { deadLetterOf, queue } from '../../lib/platform/messaging/queue.ts';
import { pauseSeconds } from '../../lib/platform/messaging/visibility.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { queueVariable } from '../../lib/platform/names.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';
import { clientOptions } from '../../local/emulator.ts';
import { freePort } from '../../local/ports.ts';
import { resetDatabases, rowsOf, run } from '../support/databases.ts';
import { contextOf, redelivered, sqsEvent, sqsRecord } from '../support/lambda.ts';
import { namedQueue, sqs, take, takeDead, testDeadLetterQueue } from '../support/queues.ts';
import { workerServers } from '../support/started.ts';

const { emulator } = await workerServers();

const numbers = queue('test/add-number', z.object({ number: z.int() }));
const anything = queue('test/add-number', z.unknown());
const dead = await testDeadLetterQueue(numbers);
beforeEach(async () => {
  await take(dead);
});

const delivered = (receives: number): SQSEvent => ({
  Records: [sqsRecord({ number: 1 }, receives)],
});

test('only what failed comes again', async () => {
  const handler = consume(numbers, async ({ number }) => {
    if (number % 3 === 0) throw new Error(`no ${number}`);
    return 'accepted';
  });
  const event = sqsEvent(...Array.from({ length: 10 }, (_, number) => ({ number })));
  expect(redelivered(event, await handler(event, contextOf()))).toEqual([0, 3, 6, 9]);
  expect(await takeDead(dead)).toEqual([]);
});

test('records of a batch run together, up to the limit', async () => {
  let running = 0;
  let most = 0;
  const handler = consume(numbers, async () => {
    running += 1;
    most = Math.max(most, running);
    await new Promise((done) => setTimeout(done, 5));
    running -= 1;
    return 'accepted';
  });
  await handler(sqsEvent(...Array.from({ length: 40 }, (_, number) => ({ number }))), contextOf());
  expect(most).toBe(10);
});

test('a rejected message is set aside at its first delivery, body unchanged, personal data masked in the reason', async () => {
  const handler = consume(numbers, async () => {
    throw new Rejected('the owner of 13812345678 is unknown');
  });
  const body = '{"number": 1, "more": "13812345678"}';
  const event = sqsEvent(body);
  expect(redelivered(event, await handler(event, contextOf()))).toEqual([]);
  expect(await takeDead(dead)).toEqual([{ body, reason: 'the owner of 138****5678 is unknown' }]);
});

test('a message that has a field twice is rejected with its name', async () => {
  const handler = consume(anything, async () => 'recorded');
  const body = '{"number":1,"more":[{"a":1}],"number":2}';
  const event = sqsEvent(body);
  expect(redelivered(event, await handler(event, contextOf()))).toEqual([]);
  expect(await takeDead(dead)).toEqual([{ body, reason: 'The field "number" is there twice.' }]);
});

const mebibyte = 1_048_576;
const rejecting = (reason: string) =>
  consume(anything, async () => {
    throw new Rejected(reason);
  });
/** The dead letter that a handler leaves of a body, and how many bytes SQS counts of it. */
async function letterOf(handler: ReturnType<typeof rejecting>, body: string) {
  const event = sqsEvent(body);
  expect(redelivered(event, await handler(event, contextOf()))).toEqual([]);
  const [letter, ...more] = await takeDead(dead);
  expect(more).toEqual([]);
  return { body: letter?.body ?? '', reason: letter?.reason ?? '' };
}

test.each([
  ['has U+0001', 'a\u0001b\u0000c\u001f', 'a\\u0001b\\u0000c\\u001f'],
  ['is cut beside a character of four bytes', `${'x'.repeat(999)}😀y`, `${'x'.repeat(999)}😀`],
  ['has half a pair of surrogates', 'a\udc00b', 'a\\udc00b'],
  ['has U+FFFE', 'a\ufffeb', 'a\\ufffeb'],
  ['has lines, tabs and characters of four bytes', 'a\tb\r\n😀', 'a\tb\r\n😀'],
  ['is empty', '', 'no reason'],
])(
  'a message whose reason %s is dead-lettered with a readable one',
  async (_, reason, readable) => {
    expect(await letterOf(rejecting(reason), '{}')).toEqual({ body: '{}', reason: readable });
  },
);

test.each([
  ['that is not JSON', 'x'.repeat(mebibyte), 'The body is not JSON.'],
  ['of characters of three bytes', `"${'字'.repeat(349_524)}"`, 'never'],
  ['but for 20 bytes', JSON.stringify('x'.repeat(mebibyte - 22)), 'never'],
])(
  'a message of 1 MiB %s is dead-lettered with its reason, and as much of its body as fits',
  async (_, body, reason) => {
    const letter = await letterOf(rejecting('never'), body);
    const bytes = Buffer.byteLength(body);
    expect(letter.reason).toBe(`The body is cut, it had ${bytes} bytes. ${reason}`);
    expect(body.startsWith(letter.body)).toBe(true);
    expect(bytes - Buffer.byteLength(letter.body)).toBeLessThan(400);
  },
);

test('a body with characters that SQS refuses is dead-lettered with the same content', async () => {
  const body = '{"number":"\ufffe\uffff"}';
  expect(await letterOf(rejecting('never'), body)).toEqual({
    body: '{"number":"\\ufffe\\uffff"}',
    reason: 'never',
  });
});

test('a large message that leaves room for its reason is dead-lettered as it is', async () => {
  const body = JSON.stringify('x'.repeat(mebibyte - 1_500));
  expect(await letterOf(rejecting('n'.repeat(1_000)), body)).toEqual({
    body,
    reason: 'n'.repeat(1_000),
  });
});

test('a large message that leaves room for a part of its reason is dead-lettered with that part, body unchanged', async () => {
  const body = JSON.stringify('x'.repeat(mebibyte - 500));
  expect(await letterOf(rejecting('n'.repeat(1_000)), body)).toEqual({
    body,
    reason: 'n'.repeat(300),
  });
});

test('what keeps failing is set aside at its last attempt with its last error', async () => {
  const handler = consume(numbers, async () => {
    throw new Error('never mind');
  });
  for (let receives = 1; receives < attemptsMax; receives++) {
    const event = delivered(receives);
    expect(redelivered(event, await handler(event, contextOf()))).toEqual([0]);
  }
  const event = delivered(attemptsMax);
  expect(redelivered(event, await handler(event, contextOf()))).toEqual([]);
  expect(await takeDead(dead)).toMatchObject([{ reason: 'never mind' }]);
});

test('where the dead-letter queue cannot be reached the message comes again', async () => {
  const variable = queueVariable(deadLetterOf(numbers).id);
  vi.stubEnv(variable, `${process.env[variable]}-gone`);
  const handler = consume(numbers, async () => 'accepted');
  vi.unstubAllEnvs();
  const event = sqsEvent('not JSON');
  expect(redelivered(event, await handler(event, contextOf()))).toEqual([0]);
});

test('while a database is away a message comes again, however often it came', async () => {
  const port = await freePort('a server that is not there', undefined);
  const SecretString = JSON.stringify({
    host: '127.0.0.1',
    port,
    username: 'a',
    password: 'b',
    ssl: false,
  });
  const client = new SecretsManagerClient(clientOptions(emulator));
  await client.send(new CreateSecretCommand({ Name: 'test/away', SecretString }));
  vi.stubEnv('SECRET_MYSQL', 'test/away');
  const away = mysql<Record<string, never>>('mysql');
  vi.unstubAllEnvs();
  const handler = consume(numbers, async () => {
    await sql`select 1`.execute(away);
    return 'accepted';
  });
  const event = delivered(40);
  expect(redelivered(event, await handler(event, contextOf()))).toEqual([0]);
  expect(await takeDead(dead)).toEqual([]);
});

test('a secret that does not exist is named, and sets nothing aside', async () => {
  vi.stubEnv('SECRET_MYSQL', 'test/not-there');
  const db = mysql<Record<string, never>>('mysql');
  vi.unstubAllEnvs();
  let said = '';
  const handler = consume(numbers, async () => {
    try {
      await sql`select 1`.execute(db);
    } catch (error) {
      said = String(error);
      throw error;
    }
    return 'accepted';
  });
  const event = delivered(3);
  expect(redelivered(event, await handler(event, contextOf()))).toEqual([0]);
  expect(said).toBe(
    'Unavailable: The secret test/not-there cannot be read: create it as docs/deploying.md says, or grant it in `uses`.',
  );
  expect(await takeDead(dead)).toEqual([]);
});

test('a variable that is missing is named when the function starts', () => {
  vi.stubEnv(queueVariable(deadLetterOf(numbers).id), '');
  expect(() => consume(numbers, async () => 'accepted')).toThrow(
    'The variable QUEUE_TEST_ADD_NUMBER_DEAD is missing: name what it stands for in `uses` or `sends` of this function in infra/.',
  );
  vi.unstubAllEnvs();
});

const db = mysql<PlatformTables>('mysql');
const outbox = () => rowsOf('select destination, body, due_at from signalbox.outbox');

test('a postponed message is acknowledged and waits in the outbox, however often it came', async () => {
  await resetDatabases();
  const until = new Date('2026-12-31T16:00:00.000Z');
  const handler = consume(
    numbers,
    async () => {
      throw new Postponed(until, 'the quota is used up');
    },
    { mysql: db },
  );
  const event = delivered(49);
  expect(redelivered(event, await handler(event, contextOf()))).toEqual([]);
  expect(await outbox()).toEqual([
    {
      destination: 'queue:test/add-number',
      body: '{"number":1}',
      due_at: '2027-01-01 00:00:00.000',
    },
  ]);
  expect(await takeDead(dead)).toEqual([]);
});

test('where the outbox cannot be written a postponed message comes again', async () => {
  await resetDatabases();
  await run(
    "create trigger signalbox.full before insert on signalbox.outbox for each row signal sqlstate '45000'",
  );
  const handler = consume(
    numbers,
    async () => {
      throw new Postponed(new Date(), 'later');
    },
    { mysql: db },
  );
  const event = delivered(3);
  try {
    expect(redelivered(event, await handler(event, contextOf()))).toEqual([0]);
  } finally {
    await run('drop trigger signalbox.full');
  }
});

/** The same message as SQS delivers it for the `receives`th time. */
const again = (record: SQSRecord, receives: number, sentAt = Date.now()): SQSEvent => {
  const attributes = {
    ...record.attributes,
    ApproximateReceiveCount: String(receives),
    SentTimestamp: String(sentAt),
  };
  return { Records: [{ ...record, attributes }] };
};

test('failures of its own are counted, not deliveries: after an outage a message still has three', async () => {
  await resetDatabases();
  let failure: Error = new Unavailable('the database');
  const handler = consume(numbers, async () => Promise.reject(failure), { mysql: db });
  const record = sqsRecord({ number: 1 });
  for (const receives of [1, 2, 3, 200]) {
    const event = again(record, receives);
    expect(redelivered(event, await handler(event, contextOf()))).toEqual([0]);
  }
  failure = new Error('its own fault');
  for (const receives of [201, 202]) {
    const event = again(record, receives);
    expect(redelivered(event, await handler(event, contextOf()))).toEqual([0]);
  }
  expect(await takeDead(dead)).toEqual([]);
  const third = again(record, 203);
  expect(redelivered(third, await handler(third, contextOf()))).toEqual([]);
  expect(await takeDead(dead)).toMatchObject([{ reason: 'its own fault' }]);
});

test('counts of failures are kept for longer than a queue keeps messages, and no longer', async () => {
  await resetDatabases();
  await run(`insert into signalbox.message_failure values
    ('old', 2, now() - interval 16 day), ('young', 2, now() - interval 14 day)`);
  const handler = consume(numbers, async () => Promise.reject(new Error('no')), { mysql: db });
  await handler(sqsEvent({ number: 1 }), contextOf());
  const kept = await rowsOf('select failures from signalbox.message_failure order by failures');
  expect(kept).toEqual([{ failures: 1 }, { failures: 2 }]);
});

test.each([
  { days: 11.9, moved: false },
  { days: 12, moved: true },
  { days: 400, moved: false }, // No queue keeps a message for so long: the clock is wrong.
])('a message that has waited for $days days is set aside: $moved', async ({ days, moved }) => {
  const handler = consume(numbers, async () => Promise.reject(new Unavailable('the database')));
  const event = again(sqsRecord({ number: 1 }), 900, Date.now() - days * 86_400_000 - 1_000);
  expect(redelivered(event, await handler(event, contextOf()))).toEqual(moved ? [] : [0]);
  const letters = moved ? [{ body: '{"number":1}', reason: 'After 12 days: the database' }] : [];
  expect(await takeDead(dead)).toEqual(letters);
});

test('pauses grow to twenty minutes and no further, and a thousand deliveries last as long as a queue keeps messages', () => {
  const pauses = Array.from({ length: 1_000 }, (_, index) => pauseSeconds(index + 1));
  expect(pauses.slice(0, 10)).toEqual([5, 10, 20, 40, 80, 160, 320, 640, 1_200, 1_200]);
  expect(Math.max(...pauses)).toBe(1_200);
  const days = pauses.reduce((sum, seconds) => sum + seconds, 0) / 86_400;
  expect(days).toBeGreaterThan(13.7);
});

/** A message of a real queue that hides messages for so long, received for the `receives`th time. */
async function received(receives: number, visibilitySeconds: number) {
  const name = `pauses-${randomUUID()}`;
  const url = await namedQueue(name);
  const client = sqs();
  await client.send(
    new SetQueueAttributesCommand({
      QueueUrl: url,
      Attributes: { VisibilityTimeout: String(visibilitySeconds) },
    }),
  );
  await client.send(new SendMessageCommand({ QueueUrl: url, MessageBody: '{"number":1}' }));
  const get = async (WaitTimeSeconds = 0) => {
    const { Messages = [] } = await client.send(
      new ReceiveMessageCommand({ QueueUrl: url, WaitTimeSeconds }),
    );
    return Messages;
  };
  const [message] = await get();
  const [record] = again(sqsRecord({ number: 1 }), receives).Records;
  const event = {
    Records: [
      {
        ...(record as SQSRecord),
        receiptHandle: message?.ReceiptHandle ?? '',
        eventSourceARN: `arn:aws:sqs:us-east-1:000000000000:${name}`,
      },
    ],
  };
  return { event, get };
}

test('where something is unavailable the message comes back after the pause, not after the time of its queue', async () => {
  const handler = consume(numbers, async () => Promise.reject(new Unavailable('the database')));
  const { event, get } = await received(1, 3_600);
  const began = Date.now();
  expect(redelivered(event, await handler(event, contextOf()))).toEqual([0]);
  await vi.waitUntil(async () => (await get()).length, { timeout: 15_000, interval: 250 });
  expect(Date.now() - began).toBeGreaterThan(4_000);
});

test('a message that has come often is hidden before the work, in which its process may die', async () => {
  const { event, get } = await received(4, 1);
  let seen: unknown;
  const handler = consume(numbers, async () => {
    seen = await get(3); // Its queue would give it again after a second.
    return 'accepted';
  });
  expect(redelivered(event, await handler(event, contextOf()))).toEqual([]);
  expect(seen).toEqual([]);
});

test('a batch is handled in one call with an outcome for each; bad bodies never reach it', async () => {
  const seen: number[][] = [];
  const handler = consumeBatch(numbers, async (messages) => {
    seen.push(messages.map(({ number }) => number));
    return messages.map(({ number }) => {
      if (number === 2) return new Error('not this time');
      return number === 3 ? new Rejected('never') : 'accepted';
    });
  });
  const event = sqsEvent({ number: 1 }, 'not JSON', { number: 2 }, { number: 3 });
  expect(redelivered(event, await handler(event, contextOf()))).toEqual([2]);
  expect(seen).toEqual([[1, 2, 3]]);
  expect((await takeDead(dead)).map(({ reason }) => reason)).toEqual([
    'never',
    'The body is not JSON.',
  ]);
});

test('a batch whose call fails, or that has too few outcomes, comes again', async () => {
  const failing = consumeBatch(numbers, async () => Promise.reject(new Error('away')));
  const short = consumeBatch(numbers, async () => ['accepted']);
  const event = sqsEvent({ number: 1 }, { number: 2 });
  expect(redelivered(event, await failing(event, contextOf()))).toEqual([0, 1]);
  expect(redelivered(event, await short(event, contextOf()))).toEqual([1]);
});
