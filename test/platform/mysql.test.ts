import {
  CreateSecretCommand,
  PutSecretValueCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { type Kysely, sql } from 'kysely';
import { beforeEach, expect, test, vi } from 'vitest';
import * as z from 'zod';
import { isUnavailable } from '../../lib/platform/errors.ts';
import { consume } from '../../lib/platform/messaging/consume.ts';
import { queue } from '../../lib/platform/messaging/queue.ts';
import { lockWaitTimeoutSeconds, mysql } from '../../lib/platform/mysql/mysql.ts';
import { clientOptions } from '../../local/emulator.ts';
import { connect } from '../../local/mysql.ts';
import { freePort } from '../../local/ports.ts';
import { until } from '../../local/processes.ts';
import { rowsOf, run, serverOfWorker } from '../support/databases.ts';
import { contextOf, redelivered, sqsEvent } from '../support/lambda.ts';
import { testDeadLetterQueue } from '../support/queues.ts';
import { worker, workerServers } from '../support/started.ts';

const numbers = queue('test/count-number', z.object({ number: z.int() }));
await testDeadLetterQueue(numbers);
const { emulator, mysql: server } = await workerServers();
const { host, port } = server;
const secrets = new SecretsManagerClient(clientOptions(emulator));
type Nothing = Record<string, never>;

const text = (password: string) =>
  JSON.stringify({ host, port, username: 'rotating', password, ssl: false });

let created = 0;
/** The server's password is `first`, and what stands in the secret is, too. */
async function client(clock?: () => number): Promise<{
  db: Kysely<Nothing>;
  tell: (password: string) => Promise<unknown>;
}> {
  created += 1;
  const Name = `test/rotating-${worker}-${created}`;
  await secrets.send(new CreateSecretCommand({ Name, SecretString: text('first') }));
  vi.stubEnv('SECRET_MYSQL', Name);
  const db = mysql<Nothing>('mysql', clock && { clock });
  vi.unstubAllEnvs();
  const tell = (password: string) =>
    secrets.send(new PutSecretValueCommand({ SecretId: Name, SecretString: text(password) }));
  return { db, tell };
}

const select = async (db: Kysely<Nothing>) =>
  (await sql<{ id: string }>`select connection_id() id`.execute(db)).rows[0]?.id;

const ofUser = () =>
  rowsOf(`select id from information_schema.processlist where user = 'rotating'`);

const killAll = async () => {
  for (const { id } of await ofUser()) await run(`kill ${id}`);
  await until('the connections are gone', async () => (await ofUser()).length === 0);
};

const alter = (password: string) => run(`alter user 'rotating'@'%' identified by '${password}'`);

beforeEach(async () => {
  await killAll();
  await run(
    `drop user if exists 'rotating'@'%'; create user 'rotating'@'%' identified by 'first';
     grant select on signalbox.* to 'rotating'@'%'`,
  );
});

test('a password rotated while a consumer runs fails no message', async () => {
  const { db, tell } = await client();
  const handler = consume(numbers, async () => {
    await select(db);
    return 'recorded';
  });
  const ten = () => sqsEvent(...Array.from({ length: 10 }, (_, number) => ({ number })));
  const before = ten();
  expect(redelivered(before, await handler(before, contextOf()))).toEqual([]);
  await tell('second');
  await alter('second');
  await killAll();
  const after = ten();
  expect(redelivered(after, await handler(after, contextOf()))).toEqual([]);
  expect(await ofUser()).toHaveLength(2);
});

test('a transaction on a connection of before the rotation goes on; the old pool ends after it', async () => {
  const { db, tell } = await client();
  const ids: (string | undefined)[] = [];
  await db.transaction().execute(async (trx) => {
    ids.push((await sql<{ id: string }>`select connection_id() id`.execute(trx)).rows[0]?.id);
    await tell('second');
    await alter('second');
    // The pool's second connection is a new one, with the new password.
    ids.push(await select(db));
    ids.push((await sql<{ id: string }>`select connection_id() id`.execute(trx)).rows[0]?.id);
  });
  expect(ids[0]).toBe(ids[2]);
  expect(ids[1]).not.toBe(ids[0]);
  await until('only the new pool is there', async () => {
    const left = await ofUser();
    return left.length === 1 && String(left[0]?.['id']) === ids[1];
  });
});

test('while the secret still says the old password the database counts as away; after that it is there', async () => {
  let nowMs = 0;
  const { db, tell } = await client(() => nowMs);
  await alter('second');
  const error = await select(db).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ errno: 1045 });
  expect(isUnavailable(error)).toBe(true);
  await tell('second');
  nowMs += 5_000; // Past its cache a secret is read once in so long.
  const id = await select(db);
  expect((await ofUser()).map((one) => String(one['id']))).toContain(String(id));
});

test('a statement that stands alone and waited too long for a lock is run once more in place', async () => {
  await run("insert into signalbox.claim values ('held', 1, now())");
  const holder = await connect(serverOfWorker());
  const db = mysql<Nothing>('mysql');
  try {
    await holder.query("begin; update signalbox.claim set epoch = 2 where name = 'held'");
    const began = Date.now();
    const added = sql`update signalbox.claim set epoch = epoch + 1 where name = 'held'`.execute(db);
    const tooLong = lockWaitTimeoutSeconds * 1_000 + 200;
    await until('its first wait is over', async () => Date.now() - began > tooLong);
    await holder.query('commit');
    expect((await added).numAffectedRows).toBe(1n);
    expect(await rowsOf("select epoch from signalbox.claim where name = 'held'")).toEqual([
      { epoch: '3' },
    ]);
  } finally {
    await holder.end();
    await db.destroy();
  }
});

test('a server that cannot be reached is named, and counts as away', async () => {
  const Name = `test/unreachable-${worker}`;
  const nobody = await freePort('a server that is not there', undefined);
  const SecretString = JSON.stringify({ ...JSON.parse(text('any')), port: nobody });
  await secrets.send(new CreateSecretCommand({ Name, SecretString }));
  vi.stubEnv('SECRET_MYSQL_UPSTREAM', Name);
  const db = mysql<Nothing>('mysql-upstream');
  vi.unstubAllEnvs();
  const error = await select(db).catch((thrown: unknown) => thrown);
  expect(String(error)).toContain('mysql-upstream: connect ECONNREFUSED');
  expect(isUnavailable(error)).toBe(true);
});
