import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { type Kysely, sql } from 'kysely';
import { afterAll, afterEach, beforeEach, expect, test, vi } from 'vitest';
import * as z from 'zod';
import { isUnavailable } from '../../lib/platform/errors.ts';
import { respond } from '../../lib/platform/http/respond.ts';
import { route } from '../../lib/platform/http/route.ts';
import { byHand } from '../../lib/platform/lambda/by-hand.ts';
import { OutOfTime } from '../../lib/platform/lambda/invocation.ts';
import { schedule } from '../../lib/platform/lambda/schedule.ts';
import { consume } from '../../lib/platform/messaging/consume.ts';
import { queue } from '../../lib/platform/messaging/queue.ts';
import { idleSecondsMax, mysql } from '../../lib/platform/mysql/mysql.ts';
import type { MysqlName } from '../../lib/platform/names.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';
import { clientOptions } from '../../local/emulator.ts';
import { connect } from '../../local/mysql.ts';
import { root } from '../../local/root.ts';
import { users } from '../../local/users.ts';
import { resetDatabases, rowsOf, run, serverOfWorker } from '../support/databases.ts';
import { httpEvent, signed } from '../support/http.ts';
import { contextOf, redelivered, sqsEvent } from '../support/lambda.ts';
import { takeDead, testDeadLetterQueue } from '../support/queues.ts';
import { silentProxy } from '../support/silent-proxy.ts';
import { workerServers } from '../support/started.ts';

const { emulator } = await workerServers();

const numbers = queue('test/meet-silence', z.object({ number: z.int() }));
const holders = queue('test/hold-row', z.object({ name: z.string() }));
const dead = await testDeadLetterQueue(numbers);
await testDeadLetterQueue(holders);
const secrets = new SecretsManagerClient(clientOptions(emulator));
const server = serverOfWorker();
const closing: (() => Promise<unknown>)[] = [];

afterAll(async () => {
  for (const close of closing) await close();
});
beforeEach(resetDatabases);
afterEach(() => run('set global read_only = off'));

const secretVariables = { mysql: 'SECRET_MYSQL', 'mysql-upstream': 'SECRET_MYSQL_UPSTREAM' };

let created = 0;
/** A client of the server as a function has it, over a proxy; a statement of it may take `statementSeconds`. */
async function client(
  statementSeconds = 2,
  name: keyof typeof secretVariables & MysqlName = 'mysql',
) {
  created += 1;
  const proxy = await silentProxy(server);
  const Name = `test/silence-${process.pid}-${created}`;
  const user = name === 'mysql' ? users.signalbox : users.upstream;
  const SecretString = JSON.stringify({ host: proxy.host, port: proxy.port, ...user, ssl: false });
  await secrets.send(new CreateSecretCommand({ Name, SecretString }));
  vi.stubEnv(secretVariables[name], Name);
  const db = mysql<PlatformTables>(name, { statementSeconds });
  vi.unstubAllEnvs();
  closing.push(() => proxy.close());
  return { db, proxy };
}

const connectionId = async (db: Kysely<PlatformTables>) =>
  (await sql<{ id: string }>`select connection_id() id`.execute(db)).rows[0]?.id;

const reader = (db: Kysely<PlatformTables>) =>
  consume(numbers, async () => {
    await connectionId(db);
    return 'recorded';
  });

const two = () => sqsEvent({ number: 1 }, { number: 2 });

test.each(['mysql', 'mysql-upstream'] as const)(
  '%s: two connections that have fallen silent cost one delivery; the next one opens others',
  async (name) => {
    const { db, proxy } = await client(2, name);
    const handler = reader(db);
    const first = two();
    expect(redelivered(first, await handler(first, contextOf()))).toEqual([]);
    expect(proxy.opened()).toBe(2);
    proxy.swallow();
    const began = Date.now();
    expect(redelivered(first, await handler(first, contextOf()))).toEqual([0, 1]);
    expect(Date.now() - began).toBeLessThan(10_000);
    for (let invocation = 0; invocation < 4; invocation++)
      expect(redelivered(first, await handler(first, contextOf()))).toEqual([]);
    expect(proxy.opened()).toBe(4);
    expect(await takeDead(dead)).toEqual([]);
  },
);

test('an invocation whose time is over before the silence is noticed leaves no silent connection either', async () => {
  const { db, proxy } = await client(60);
  const handler = reader(db);
  const event = two();
  expect(redelivered(event, await handler(event, contextOf()))).toEqual([]);
  proxy.swallow();
  expect(redelivered(event, await handler(event, contextOf(1_500)))).toEqual([0, 1]);
  expect(redelivered(event, await handler(event, contextOf()))).toEqual([]);
});

test('a connection that falls silent in a transaction: nothing of it stays, and the error names the silence', async () => {
  const { db, proxy } = await client();
  await run("insert into signalbox.claim values ('row', 1, now())");
  const thrown = await db
    .transaction()
    .execute(async (trx) => {
      const row = trx.updateTable('signalbox.claim').where('name', '=', 'row');
      await row.set({ epoch: '2' }).execute();
      proxy.swallow();
      await row.set({ epoch: '3' }).execute();
    })
    .catch((error: unknown) => error);
  await proxy.close(); // Else the server would hold the row for as long as a session may idle.
  expect(String(thrown)).toContain('mysql has not answered for 2 s.');
  expect(isUnavailable(thrown)).toBe(true);
  expect(await rowsOf('select epoch from signalbox.claim')).toEqual([{ epoch: '1' }]);
});

test('a writer that became a reader is left at once; the next attempt finds the new one', async () => {
  const { db } = await client();
  await run("insert into signalbox.claim values ('row', 1, now())");
  const write = () =>
    db.updateTable('signalbox.claim').set({ epoch: sql<string>`epoch + 1` }).execute();
  const before = await connectionId(db);
  await run('set global read_only = on');
  const refused = await write().catch((error: unknown) => error);
  expect(refused).toMatchObject({ errno: 1290 });
  expect(isUnavailable(refused)).toBe(true);
  await run('set global read_only = off');
  await write();
  expect(await connectionId(db)).not.toBe(before);
  expect(await rowsOf('select epoch from signalbox.claim')).toEqual([{ epoch: '2' }]);
});

test('a connection that was idle for long is not used again', async () => {
  const { db } = await client();
  const before = await connectionId(db);
  expect(await connectionId(db)).toBe(before);
  const { now } = Date;
  const later = vi.spyOn(Date, 'now').mockImplementation(() => now() + idleSecondsMax * 1000);
  try {
    expect(await connectionId(db)).not.toBe(before);
  } finally {
    later.mockRestore();
  }
});

test('every session has limits of its own', async () => {
  const { db } = await client(8);
  const { rows } = await sql<Record<string, string>>`select @@session.wait_timeout idle,
    @@session.lock_wait_timeout metadata, @@session.innodb_lock_wait_timeout row_lock,
    @@session.max_execution_time statement, @@session.net_write_timeout writing`.execute(db);
  expect(rows.map((row) => Object.values(row).map(Number))).toEqual([[20, 2, 2, 7_000, 20]]);
});

const isFree = async (name: string): Promise<boolean> => {
  const other = await connect(server);
  try {
    await other.query('select * from signalbox.claim where name = ? for update nowait', [name]);
    return true;
  } catch {
    return false;
  } finally {
    await other.end();
  }
};

test('an invocation that is nearly over ends its transaction; what of it runs on gets no connection', async () => {
  const { db } = await client(60);
  await run("insert into signalbox.claim values ('row', 1, now())");
  const awake = Promise.withResolvers<void>();
  let afterwards: unknown;
  const handler = consume(numbers, async () => {
    await db.transaction().execute(async (trx) => {
      await trx.updateTable('signalbox.claim').set({ epoch: '2' }).execute();
      await awake.promise
        .then(() => trx.updateTable('signalbox.claim').set({ epoch: '3' }).execute())
        .catch(() => {});
      afterwards = await connectionId(db).catch((error: unknown) => error);
    });
    return 'recorded';
  });
  const event = sqsEvent({ number: 1 });
  const context = contextOf(1_500);
  const ended = handler(event, context);
  await vi.waitUntil(async () => !(await isFree('row')), { timeout: 1_000 });
  expect(redelivered(event, await ended)).toEqual([0]);
  expect(context.getRemainingTimeInMillis()).toBeGreaterThan(0);
  await vi.waitUntil(() => isFree('row'), { timeout: 1_000 });
  awake.resolve();
  await vi.waitUntil(() => afterwards !== undefined, { timeout: 1_000 });
  expect(afterwards).toBeInstanceOf(OutOfTime);
  expect(await rowsOf('select epoch from signalbox.claim')).toEqual([{ epoch: '1' }]);
});

test('of a batch whose time is over what was finished is acknowledged', async () => {
  const handler = consume(numbers, async ({ number }) => {
    if (number === 2) await new Promise(() => {});
    return 'recorded';
  });
  const event = sqsEvent({ number: 1 }, { number: 2 }, { number: 3 });
  expect(redelivered(event, await handler(event, contextOf(700)))).toEqual([1]);
});

test('schedules, functions by hand and routes end before their time-out, too', async () => {
  const never = () => new Promise<never>(() => {});
  const minute = schedule(never)({ time: '2026-11-21T02:00:00Z' }, contextOf(500));
  await expect(minute).rejects.toThrow('The invocation was ended before its time-out.');
  const hand = byHand(z.unknown(), never)({}, contextOf(500));
  await expect(hand).rejects.toThrow('The invocation was ended before its time-out.');
  const asked = route({
    id: 'test/wait',
    method: 'POST',
    path: '/wait',
    summary: 'Waits.',
    who: 'signed',
    body: z.object({}),
    answers: { 200: z.object({}) },
  });
  const handler = respond(asked, never, { mysql: mysql<PlatformTables>('mysql') });
  const event = signed(httpEvent({ method: 'POST', path: '/wait', body: {} }));
  expect(await handler(event, contextOf(1_500))).toMatchObject({ statusCode: 503 });
});

/** A process that holds a row in the middle of a message, and answers when its handler has. */
async function holding(timeoutMs: number) {
  const program = join(root, 'test/support/frozen.ts');
  const env = { ...process.env, SECRET_MYSQL: process.env['SECRET_MYSQL'] };
  const child = spawn(process.execPath, [program, 'row', String(timeoutMs)], {
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr?.on('data', (data) => {
    said += String(data);
  });
  closing.push(async () => child.kill('SIGKILL'));
  await vi.waitUntil(() => said.includes('holds'), { timeout: 20_000 });
  return { child, said: () => said };
}

test('a process that is frozen in its transaction holds its row for seconds, and writes nothing when it thaws', async () => {
  await run("insert into signalbox.claim values ('row', 1, now())");
  const { child, said } = await holding(8_000);
  child.kill('SIGSTOP');
  expect(await isFree('row')).toBe(false);
  const { db } = await client(8);
  const other = consume(numbers, async () => {
    await db.updateTable('signalbox.claim').set({ epoch: '9' }).execute();
    return 'recorded';
  });
  const event = sqsEvent({ number: 1 });
  const began = Date.now();
  await vi.waitUntil(async () => redelivered(event, await other(event, contextOf())).length === 0, {
    timeout: (idleSecondsMax + 15) * 1000,
    interval: 500,
  });
  expect(Date.now() - began).toBeLessThan((idleSecondsMax + 15) * 1000);
  child.kill('SIGCONT');
  await once(child, 'exit');
  expect(said()).toContain('failed 1');
  expect(await rowsOf('select epoch from signalbox.claim')).toEqual([{ epoch: '9' }]);
  expect(await takeDead(dead)).toEqual([]);
});

test('a process that times out while something does not answer has ended its transaction before it is frozen', async () => {
  await run("insert into signalbox.claim values ('row', 1, now())");
  const { child, said } = await holding(2_000);
  await vi.waitUntil(() => said().includes('failed 1'), { timeout: 5_000 });
  child.kill('SIGSTOP');
  await vi.waitUntil(() => isFree('row'), { timeout: 2_000 });
});
