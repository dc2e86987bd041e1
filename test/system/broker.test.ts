import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  GetFunctionConfigurationCommand,
  LambdaClient,
  UpdateFunctionConfigurationCommand,
} from '@aws-sdk/client-lambda';
import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { SendMessageBatchCommand } from '@aws-sdk/client-sqs';
import type { RowDataPacket } from 'mysql2';
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from 'vitest';
import { resourceName } from '../../lib/platform/names.ts';
import { clientOptions, workersOf } from '../../local/emulator.ts';
import { connect } from '../../local/mysql.ts';
import { Processes, until } from '../../local/processes.ts';
import { deploy } from '../../local/stack.ts';
import { seedBrokers } from '../../local/upstream.ts';
import { redeliverAfter, sqs, take, takeDead } from '../support/queues.ts';
import { started } from '../support/started.ts';

const id = 'broker/apply-event';
const { endpoints, emulator, mysql } = await started('stack');
const queue = endpoints.queues[id] ?? '';
const dead = endpoints.deadLetterQueues[id] ?? '';
const admin = await connect(mysql);
const update = (...ids: number[]) => ({ broker_ids: ids.join(','), flag: 2, source: 1 });

async function send(...bodies: unknown[]): Promise<void> {
  for (let start = 0; start < bodies.length; start += 10) {
    const Entries = bodies.slice(start, start + 10).map((body, index) => ({
      Id: `${index}`,
      MessageBody: typeof body === 'string' ? body : JSON.stringify(body),
    }));
    await sqs().send(new SendMessageBatchCommand({ QueueUrl: queue, Entries }));
  }
}

async function rows(sql: string): Promise<RowDataPacket[]> {
  const [found] = await admin.query<RowDataPacket[]>(sql);
  return found;
}

/** How many of the brokers with ids from `first` to `last` the site shows with the name that upstream has. */
async function arrived(first: number, last: number): Promise<number> {
  const [row] = await rows(`
    select count(*) right_ones from anjuke_db.ajk_broker u join user_prop_db.broker_base b on b.broker_id = u.BrokerId
    where BrokerId between ${first} and ${last} and TrueName = true_name and is_deleted = 0`);
  return Number(row?.['right_ones']);
}

/** Deployed it is 22 s, a little over the function's time-out. */
const redeliverySeconds = 4;

beforeAll(async () => {
  await seedBrokers(mysql, 2000);
  // Nothing but the schedule tells of this one; it is looked for by the last test.
  await admin.query(
    "update anjuke_db.ajk_broker set TrueName = '排程', updated_datetime = now() where BrokerId = 2000",
  );
});
afterAll(async () => {
  await admin.end();
});

test('a tenth record that is not JSON: nine applied, one on the dead-letter queue with its reason', async () => {
  await send(...Array.from({ length: 9 }, (_, index) => update(index + 1)), '{"broker_ids": "10"');
  await until('nine brokers are there', async () => (await arrived(1, 9)) === 9);
  await until('one message is dead', async () => {
    const letters = await takeDead(dead);
    if (!letters.length) return false;
    expect(letters).toEqual([{ body: '{"broker_ids": "10"', reason: 'The body is not JSON.' }]);
    return true;
  });
  expect(await arrived(10, 10)).toBe(0);
});

test('ten bad ones: ten there', async () => {
  await send(...Array.from({ length: 10 }, (_, index) => ({ broker_ids: `x${index}`, flag: 2 })));
  let letters = 0;
  await until('ten messages are dead', async () => {
    letters += (await takeDead(dead)).length;
    return letters >= 10;
  });
  expect(letters).toBe(10);
});

test('the consumer killed in the middle of its work: delivered again, right', async () => {
  onTestFinished(await redeliverAfter(queue, redeliverySeconds));
  const holder = await connect(mysql);
  await holder.query('insert into user_prop_db.broker_base (broker_id) values (150)');
  await holder.query('begin');
  await holder.query('select * from user_prop_db.broker_base where broker_id = 150 for update');
  await send(update(...Array.from({ length: 100 }, (_, index) => 101 + index)));
  const waits = async () => {
    const blocked = await rows(
      "select 1 from information_schema.innodb_trx where trx_state = 'LOCK WAIT'",
    );
    return blocked.length > 0;
  };
  // MySQL renews that table only when nobody has read it for 0.1 s.
  await until('the consumer waits for our lock', waits, { pollMs: 150 });
  const killed = workersOf(emulator).get(resourceName(id)) ?? [];
  expect(killed.length).toBeGreaterThan(0);
  for (const pid of killed) process.kill(pid, 'SIGKILL');
  expect(await arrived(101, 200)).toBe(0);
  await holder.end();
  await until('all hundred are there', async () => (await arrived(101, 200)) === 100);
  expect(await takeDead(dead)).toEqual([]);
});

/** All that the emulator and the functions in it have printed. */
const log = () => readFileSync(join(inject('dir'), 'log/emulator.log'), 'utf8');

const codeOf = async () => {
  const lambda = new LambdaClient(clientOptions(emulator));
  const { CodeSha256 } = await lambda.send(
    new GetFunctionConfigurationCommand({ FunctionName: resourceName(id) }),
  );
  return CodeSha256;
};

test('a second deploy with changed code while messages flow loses nothing', async () => {
  const before = await codeOf();
  const processes = new Processes(join(inject('dir'), 'second'));
  let deployed = false;
  const deploying = deploy({ dir: inject('dir'), emulator, processes }, { release: 'second' }).then(
    () => {
      deployed = true;
    },
  );
  let last = 200;
  for (; !deployed && last < 1900; last += 10) {
    await send(...Array.from({ length: 10 }, (_, index) => update(last + 1 + index)));
    await new Promise((done) => setTimeout(done, 100));
  }
  await deploying;
  await processes.endAll();
  await send(update(last + 1));
  expect(await codeOf()).not.toBe(before);
  await until(
    'all of them are there',
    async () => (await arrived(201, last + 1)) === last + 1 - 200,
  );
  expect(await takeDead(dead)).toEqual([]);
});

test('a function is refused what its role lacks, says so, and loses nothing by it', async () => {
  const lambda = new LambdaClient(clientOptions(emulator));
  const FunctionName = resourceName(id);
  const { Environment } = await lambda.send(new GetFunctionConfigurationCommand({ FunctionName }));
  const Variables = Environment?.Variables ?? {};
  const secrets = new SecretsManagerClient(clientOptions(emulator));
  const Name = 'signalbox/local/not-for-apply-event';
  await secrets.send(new CreateSecretCommand({ Name, SecretString: '{}' }));
  const use = async (secret: string | undefined) => {
    const changed = { ...Variables, SECRET_MYSQL_UPSTREAM: secret ?? '' };
    await lambda.send(
      new UpdateFunctionConfigurationCommand({ FunctionName, Environment: { Variables: changed } }),
    );
  };
  await use(Name);
  onTestFinished(await redeliverAfter(queue, redeliverySeconds));
  await send(update(1950));
  const refusal = `The secret ${Name} cannot be read`;
  await until('the refusal is in the log', () => log().includes(refusal));
  expect(await arrived(1950, 1950)).toBe(0);
  await use(Variables['SECRET_MYSQL_UPSTREAM']);
  await until('the broker is there', async () => (await arrived(1950, 1950)) === 1);
  expect(await takeDead(dead)).toEqual([]);
});

test('a broker changed in upstream MySQL reaches the site by the schedule alone', async () => {
  await until('broker 2000 has its new name', async () => (await arrived(2000, 2000)) === 1, {
    timeoutMs: 100_000,
  });
});

test('nothing is left on the queue', async () => {
  expect(await take(queue)).toEqual([]);
});
