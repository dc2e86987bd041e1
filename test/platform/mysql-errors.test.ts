import { createRequire } from 'node:module';
import { join } from 'node:path';
import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { type Kysely, sql } from 'kysely';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import * as z from 'zod';
import { isUnavailable, PartnerUnavailable } from '../../lib/platform/errors.ts';
import { consume } from '../../lib/platform/messaging/consume.ts';
import { queue } from '../../lib/platform/messaging/queue.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { mysqlFaultOf, mysqlFaults } from '../../lib/platform/mysql-errors.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';
import { clientOptions } from '../../local/emulator.ts';
import { root } from '../../local/root.ts';
import { rowsOf, run, serverOfWorker } from '../support/databases.ts';
import { contextOf, redelivered, sqsRecord } from '../support/lambda.ts';
import { takeDead, testDeadLetterQueue } from '../support/queues.ts';
import { workerServers } from '../support/started.ts';

const { emulator } = await workerServers();

/** What mysql2 knows: names by numbers and numbers by names. */
const known: Record<string, string | number> = createRequire(import.meta.url)(
  join(root, 'node_modules/mysql2/lib/constants/errors.js'),
);
const mysqlError = (errno: number) => Object.assign(new Error('said by MySQL'), { errno });

describe('the table of errors', () => {
  const listed = Object.values(mysqlFaults).flatMap((groups) =>
    Object.values(groups).flatMap((group) => Object.entries<string>(group)),
  );

  test('names each number as MySQL does, and none twice', () => {
    expect(listed.length).toBeGreaterThan(90);
    for (const [errno, name] of listed) expect(known[errno], errno).toBe(name);
    expect(new Set(listed.map(([errno]) => errno)).size).toBe(listed.length);
  });

  test('says of every other error that MySQL knows that the statement is wrong', () => {
    const others = Object.values(known).filter(
      (errno) => typeof errno === 'number' && !listed.some(([one]) => Number(one) === errno),
    );
    expect(others.length).toBeGreaterThan(1_500);
    for (const errno of others) expect(mysqlFaultOf(mysqlError(Number(errno)))).toBeUndefined();
  });

  test.each([
    ...[1040, 1044, 1045, 1053, 1129, 1130, 1142, 1143, 1203, 1226, 1227, 1290, 1317],
    ...[1698, 1792, 1820, 1836, 1862, 3024, 3118, 3159, 3168, 3169, 4031],
  ])('%i says "not now"', (errno) => {
    expect(mysqlFaultOf(mysqlError(errno))).toBe('unavailable');
    expect(isUnavailable(mysqlError(errno))).toBe(true);
  });

  test.each([1205, 1213, 1412, 3101, 3572])('%i is tried again in place', (errno) => {
    expect(mysqlFaultOf(mysqlError(errno))).toBe('conflict');
    expect(isUnavailable(mysqlError(errno))).toBe(true);
  });

  test.each([1048, 1054, 1062, 1064, 1146, 1153, 1264, 1292, 1366, 1406, 1451, 1690, 3819])(
    '%i is a fault of the statement',
    (errno) => expect(isUnavailable(mysqlError(errno))).toBe(false),
  );

  test.each(['SELF_SIGNED_CERT_IN_CHAIN', 'HANDSHAKE_SSL_ERROR', 'ERR_TLS_CERT_ALTNAME_INVALID'])(
    '%s: a certificate that is not trusted is no fault of a message',
    (code) => expect(isUnavailable(Object.assign(new Error('TLS'), { code }))).toBe(true),
  );

  test('a partner that is away is none of our databases, whatever its cause', () => {
    expect(
      isUnavailable(new PartnerUnavailable('K3', 'none', 'no', { cause: mysqlError(1040) })),
    ).toBe(false);
  });
});

const numbers = queue('test/meet-refusal', z.object({ number: z.int() }));
const dead = await testDeadLetterQueue(numbers);
const ours = mysql<PlatformTables>('mysql');
const { host, port } = serverOfWorker();
const secrets = new SecretsManagerClient(clientOptions(emulator));
let created = 0;

/** A client of a user of its own, whom a test may do anything to. */
async function client({ ssl = false, statementSeconds = 8 } = {}) {
  created += 1;
  const Name = `test/refusal-${process.pid}-${created}`;
  const SecretString = JSON.stringify({ host, port, username: 'refused', password: 'p', ssl });
  await secrets.send(new CreateSecretCommand({ Name, SecretString }));
  vi.stubEnv('SECRET_MYSQL', Name);
  const db = mysql<PlatformTables>('mysql', { statementSeconds });
  vi.unstubAllEnvs();
  return db;
}

beforeEach(async () => {
  const threads = await rowsOf(
    "select id from information_schema.processlist where user = 'refused'",
  );
  for (const { id } of threads) await run(`kill ${id}`);
  await run(`drop user if exists 'refused'@'%'; create user 'refused'@'%' identified by 'p';
    grant select on signalbox.claim to 'refused'@'%'`);
});

const look = (db: Kysely<PlatformTables>) => db.selectFrom('signalbox.claim').selectAll().execute();
const allow = `alter user 'refused'@'%' with max_user_connections 0 account unlock;
  alter user 'refused'@'%' identified by 'p'; grant select on signalbox.claim to 'refused'@'%'`;

/** Delivers a message often while its statement is refused with `errno`, and once when it no longer is. */
async function survives(
  errno: number | undefined,
  work: () => Promise<unknown>,
  recover: () => Promise<unknown>,
): Promise<void> {
  const errors: unknown[] = [];
  const handler = consume(
    numbers,
    async () => {
      await work().catch((error: unknown) => {
        errors.push(error);
        throw error;
      });
      return 'recorded';
    },
    { mysql: ours },
  );
  const record = sqsRecord({ number: 1 });
  for (const receives of ['1', '2', '3', '40']) {
    const attributes = { ...record.attributes, ApproximateReceiveCount: receives };
    const event = { Records: [{ ...record, attributes }] };
    expect(redelivered(event, await handler(event, contextOf()))).toEqual([0]);
  }
  if (errno) expect(errors.at(-1)).toMatchObject({ errno });
  await recover();
  const event = { Records: [record] };
  await vi.waitUntil(
    async () => redelivered(event, await handler(event, contextOf())).length === 0,
    { timeout: 10_000 },
  );
  expect(await takeDead(dead)).toEqual([]);
}

test('1142: a grant is missing', async () => {
  const db = await client();
  await run("revoke select on signalbox.claim from 'refused'@'%'");
  await survives(
    1142,
    () => look(db),
    () => run(allow),
  );
});

test('3118: the account is locked', async () => {
  const db = await client();
  await run("alter user 'refused'@'%' account lock");
  await survives(
    3118,
    () => look(db),
    () => run(allow),
  );
});

test('1862: the password has expired', async () => {
  const db = await client();
  await run("alter user 'refused'@'%' password expire");
  await survives(
    1862,
    () => look(db),
    () => run(allow),
  );
});

test('1226: the user has too many connections', async () => {
  const [first, second] = [await client(), await client()];
  await run("alter user 'refused'@'%' with max_user_connections 1");
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  const held = first.connection().execute(async (one) => {
    await look(one);
    await ended;
  });
  await vi.waitUntil(
    async () =>
      (await rowsOf("select 1 from information_schema.processlist where user = 'refused'")).length,
  );
  await survives(
    1226,
    () => look(second),
    async () => {
      end();
      await held;
      await run(allow);
    },
  );
});

test('3024: a statement takes too long', async () => {
  const db = await client({ statementSeconds: 2 });
  let slow = true;
  const work = async () => {
    if (slow)
      await sql`select count(*) from information_schema.collations a
        join information_schema.collations b join information_schema.collations c
        join information_schema.collations d`.execute(db);
    else await look(db);
  };
  await survives(3024, work, async () => {
    slow = false;
  });
});

test('4031: the server has closed an idle connection while the process was asleep', async () => {
  const db = await client();
  let asleep = true;
  const work = async () =>
    await db.connection().execute(async (one) => {
      if (asleep) {
        await sql`set session wait_timeout = 1`.execute(one);
        // As in a frozen process nothing is read meanwhile: the server's last words lie in the socket.
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_500);
      }
      await look(one);
    });
  await survives(undefined, work, async () => {
    asleep = false;
  });
});

test('TLS: the certificate of the server is not trusted', async () => {
  const db = await client({ ssl: true });
  const plain = await client();
  let trusted = false;
  await survives(
    undefined,
    () => look(trusted ? plain : db),
    async () => {
      trusted = true;
    },
  );
  expect(await look(db).catch((error: Error) => 'code' in error && error.code)).toBe(
    'HANDSHAKE_SSL_ERROR',
  );
});
