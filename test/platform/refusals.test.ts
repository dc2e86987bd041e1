/** What SQS and EventBridge refuse, throttle or answer to nobody: the real emulator behind a faulty line. */
import { afterAll, beforeEach, expect, test, vi } from 'vitest';
import * as z from 'zod';
import { isUnavailable } from '../../lib/platform/errors.ts';
import { bus } from '../../lib/platform/messaging/bus.ts';
import { event } from '../../lib/platform/messaging/event.ts';
import {
  deliverBy,
  queueChannel,
  queuesByName,
  toBus,
  toQueue,
  transactionWithOutbox,
} from '../../lib/platform/messaging/outbox.ts';
import { queue } from '../../lib/platform/messaging/queue.ts';
import { sendEntries } from '../../lib/platform/messaging/send.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { resourceName } from '../../lib/platform/names.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';
import { resetDatabases, rowsOf, run } from '../support/databases.ts';
import { deliver } from '../support/deliveries.ts';
import { faultyAws } from '../support/faulty-aws.ts';
import { namedQueue, take, testQueue } from '../support/queues.ts';

const line = await faultyAws();
const numbers = queue('test/number', z.object({ n: z.int() }));
const happened = event('test/happened', z.object({ n: z.int() }));
const url = await testQueue(numbers);
process.env['AWS_ENDPOINT_URL'] = line.url; // Else the client warns that the queue lives elsewhere.
const throughLine = line.url + new URL(url).pathname;
const db = mysql<PlatformTables>('mysql');

const entries = Array.from({ length: 10 }, (_, n) => ({ MessageBody: JSON.stringify({ n }) }));
const send = () => sendEntries(numbers, throughLine, entries);
const arrived = async () =>
  (await take(url)).map(({ Body = '' }) => JSON.parse(Body).n).toSorted((a, b) => a - b);
const all = entries.map((_, n) => n);

beforeEach(async () => {
  line.faults.length = 0;
  await take(url);
});
afterAll(line.close);

test('what SQS refused on its side is sent again, alone', async () => {
  line.faults.push({ refuse: [2, 7] }, { refuse: [0] });
  expect(await send()).toEqual(Array.from({ length: 10 }, () => undefined));
  expect(await arrived()).toEqual(all);
});

test('what is refused for our fault, or again and again, is told by name; the rest goes', async () => {
  line.faults.push({ refuse: [3], sender: true });
  const errors = await send();
  expect(errors.map((error) => error?.message)).toEqual(
    all.map((n) => (n === 3 ? 'InvalidMessageContents: refused' : undefined)),
  );
  expect(await arrived()).toEqual(all.filter((n) => n !== 3));
  line.faults.push({ refuse: [0] }, { refuse: [0] }, { refuse: [0] }, { refuse: [0] });
  expect((await send()).filter((error) => error)).toHaveLength(1);
});

test('what SQS refuses together for what one message contains is sent one by one: only that one is refused', async () => {
  const refused = { status: 400, type: 'com.amazonaws.sqs#InvalidMessageContents' };
  line.faults.push(refused, {}, {}, refused);
  const errors = await send();
  expect(errors.map((error) => error?.message)).toEqual(
    all.map((n) => (n === 2 ? 'refused' : undefined)),
  );
  expect(errors.map((error) => isUnavailable(error))).toEqual(all.map(() => false));
  expect(await arrived()).toEqual(all.filter((n) => n !== 2));
});

test('a message that SQS can never take is told by name without being sent; those of its batch go', async () => {
  const odd = [
    { MessageBody: 'x'.repeat(1_048_577) },
    { MessageBody: '\ufffe' },
    { MessageBody: '\ud800 half a character' },
    { MessageBody: '' },
  ];
  const mixed = entries.flatMap((entry, n) => [entry, ...odd.slice(n, n + 1)]);
  const errors = await sendEntries(numbers, throughLine, mixed);
  expect(errors.filter(Boolean).map((error) => error?.message)).toEqual([
    'The message has 1048577 bytes; SQS takes 1048576.',
    'The message contains U+FFFE, which SQS refuses.',
    'The message contains U+D800, which SQS refuses.',
    'The message is empty.',
  ]);
  expect(mixed.filter((_, n) => !errors[n])).toEqual(entries);
  expect(await arrived()).toEqual(all);
});

test('throttled: the client waits and tries again', async () => {
  line.faults.push({ status: 400 }, { status: 503 });
  expect(await send()).toEqual(Array.from({ length: 10 }, () => undefined));
  expect(await arrived()).toEqual(all);
});

test('an answer that is lost doubles messages at most, and never loses one', async () => {
  line.faults.push({ loseAnswer: true });
  await send();
  expect(new Set(await arrived())).toEqual(new Set(all));
});

test('with every answer lost the outbox keeps its rows, although they went', async () => {
  await resetDatabases();
  vi.stubEnv('QUEUE_TEST_NUMBER', throughLine);
  const deliver = deliverBy(queueChannel(numbers));
  vi.unstubAllEnvs();
  line.faults.push(...Array.from({ length: 5 }, () => ({ loseAnswer: true })));
  await transactionWithOutbox({ mysql: db, deliver }, async (_trx, follow) =>
    follow(toQueue(numbers, { n: 1 })),
  );
  expect(await rowsOf('select body from signalbox.outbox')).toEqual([{ body: '{"n":1}' }]);
  expect(new Set(await arrived())).toEqual(new Set([1]));
});

test('events that the bus refuses stay in the outbox, the others are gone', async () => {
  await resetDatabases();
  vi.stubEnv('AWS_ENDPOINT_URL', line.url);
  vi.stubEnv('BUS', 'signalbox');
  const deliver = deliverBy(bus());
  line.faults.push({ refuse: [1, 4] });
  await transactionWithOutbox({ mysql: db, deliver }, async (_trx, follow) =>
    follow(...Array.from({ length: 6 }, (_, n) => toBus(happened, { n }))),
  );
  vi.unstubAllEnvs();
  expect(await rowsOf('select body from signalbox.outbox order by id')).toEqual([
    { body: '{"n":1}' },
    { body: '{"n":4}' },
  ]);
});

test('an event of a kind that the bus refuses for the whole request keeps no other; a bus that is silent is unavailable', async () => {
  vi.stubEnv('AWS_ENDPOINT_URL', line.url);
  vi.stubEnv('BUS', 'signalbox');
  const bodies = all.map((n) => JSON.stringify({ n }));
  const refused = { status: 400, type: 'com.amazonaws.eventbridge#ValidationException' };
  const { send: put } = bus();
  line.faults.push(refused, {}, refused);
  const errors = await put('event:test/happened', bodies);
  expect(errors.map((error) => error?.message)).toEqual(
    all.map((n) => (n === 1 ? 'refused' : undefined)),
  );
  line.faults.push(...Array.from({ length: 5 }, () => ({ loseAnswer: true })));
  const silent = await put('event:test/happened', bodies);
  expect(silent.map((error) => isUnavailable(error))).toEqual(all.map(() => true));
  vi.unstubAllEnvs();
});

test('large events go in requests of their own', async () => {
  vi.stubEnv('AWS_ENDPOINT_URL', line.url);
  vi.stubEnv('BUS', 'signalbox');
  const bodies = all.map((n) => JSON.stringify({ n, text: 'x'.repeat(100_000) }));
  line.faults.push(
    { refuse: [0] },
    { refuse: [0] },
    { refuse: [0] },
    { refuse: [0] },
    { refuse: [0] },
  );
  const errors = await bus().send('event:test/happened', bodies);
  expect(errors.map((error) => error !== undefined)).toEqual(all.map((n) => n % 2 === 0));
  vi.unstubAllEnvs();
});

const denied = { status: 403, type: 'com.amazon.coral.service#AccessDeniedException' };
const permitted = queue('test/permitted', z.object({ n: z.int() }));

test.each([
  [
    'whose URL may not be read, as it is for a role that does not name it,',
    { ofUrl: true },
    queuesByName,
  ],
  ['to which may not be sent', {}, () => queueChannel(permitted)],
] as const)(
  'a row for a queue %s keeps that as its reason, and goes once it is permitted',
  async (_, kind, channel) => {
    await resetDatabases();
    const permittedUrl = await namedQueue(resourceName(permitted.id));
    vi.stubEnv('QUEUE_TEST_PERMITTED', line.url + new URL(permittedUrl).pathname);
    await run(
      `insert into signalbox.outbox (destination, body, due_at)
       values ('queue:test/permitted', '{"n":1}', now(3))`,
    );
    line.faults.push({ ...denied, ...kind });
    const send = deliverBy(channel());
    vi.unstubAllEnvs();
    const look = () => deliver(6, () => {}, 6000, send);
    expect(await look()).toMatchObject({ delivered: 0, measured: { 'rows refused': 1 } });
    const reason = /^No such queue of this deployment, or no permission: .*refused/;
    expect(await rowsOf('select attempts, kind, reason from signalbox.outbox')).toEqual([
      { attempts: 1, kind: 'refused', reason: expect.stringMatching(reason) },
    ]);
    await run('update signalbox.outbox set due_at = now(3)');
    expect(await look()).toMatchObject({ delivered: 1 });
    expect((await take(permittedUrl)).map(({ Body }) => Body)).toEqual(['{"n":1}']);
  },
);
