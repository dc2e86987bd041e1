/** What only real processes can show: workers killed under ten thousand messages, and a start that is killed. */
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { GetQueueAttributesCommand, SendMessageBatchCommand, SQSClient } from '@aws-sdk/client-sqs';
import type { RowDataPacket } from 'mysql2';
import { resourceName } from '../../lib/platform/names.ts';
import { workersOf } from '../../local/emulator.ts';
import { connect } from '../../local/mysql.ts';
import { until } from '../../local/processes.ts';
import { progressOn } from '../../local/progress.ts';
import { clientOptions, root, type Stack, startStack } from '../../local/stack.ts';
import { seedBrokers } from '../../local/upstream.ts';
import { randomOf } from '../simulation/random.ts';

const id = 'broker/apply-event';
const brokers = 2_000;
const messages = 10_000;
const kills = 10;
const senders = 4;

export interface Figures {
  readonly title: string;
  readonly facts: string;
  readonly good: boolean;
}

/**
 * Ten thousand changes and deletions upstream, each named in a message that is sent one to three times in random
 * order by four senders, while the consumer's workers are killed with -9 ten times: the site equals upstream.
 */
export async function killedConsumers(dir: string, seed: number): Promise<Figures> {
  const stack = await startStack(dir, {}, progressOn(process.stdout));
  const admin = await connect(stack.mysql);
  try {
    await seedBrokers(stack.mysql, brokers);
    const random = randomOf(seed).next;
    const began = Date.now();
    const ids = Array.from({ length: messages }, (_, n) => 1 + (n % brokers));
    await admin.query(
      "update anjuke_db.ajk_broker set TrueName = concat('改', BrokerId) where BrokerId % 10 <> 0; delete from anjuke_db.ajk_broker where BrokerId % 10 = 0",
    );
    const sent = shuffled(
      ids.flatMap((broker) => Array.from({ length: 1 + Math.floor(random() * 3) }, () => broker)),
      random,
    );
    let sending = true;
    const killing = killNowAndThen(stack, () => sending);
    await send(stack, sent);
    const killed = await killing;
    sending = false;
    await until('the queue is empty', () => isEmpty(stack, 'queues'), {
      timeoutMs: 240_000,
      pollMs: 500,
    });
    const [rows] = await admin.query<RowDataPacket[]>(`
      select count(*) different from (select BrokerId id from anjuke_db.ajk_broker union select broker_id from user_prop_db.broker_base) ids
      left join anjuke_db.ajk_broker u on u.BrokerId = id left join user_prop_db.broker_base b on b.broker_id = id
      where b.broker_id is null or if(u.BrokerId is null, is_deleted = 0, is_deleted = 1 or TrueName <> true_name)`);
    const different = Number(rows[0]?.['different']);
    const seconds = Math.round((Date.now() - began) / 1000);
    const dead = (await isEmpty(stack, 'deadLetterQueues')) ? 'none' : 'some';
    return {
      title: 'consumers killed under 10,000 real messages',
      facts: `${sent.length} deliveries, ${killed} workers killed, ${different} rows differ, dead letters ${dead}, ${seconds} s`,
      good: different === 0 && dead === 'none' && killed >= kills,
    };
  } finally {
    await admin.end();
    await stack.stop();
  }
}

function shuffled<Item>(items: readonly Item[], random: () => number): Item[] {
  const keyed = items.map((item) => ({ item, key: random() }));
  return keyed.toSorted((a, b) => a.key - b.key).map(({ item }) => item);
}

async function send({ emulator, endpoints }: Stack, ids: readonly number[]): Promise<void> {
  const client = new SQSClient(clientOptions(emulator));
  const batches = Array.from({ length: Math.ceil(ids.length / 10) }, (_, n) =>
    ids.slice(n * 10, n * 10 + 10),
  ).values();
  const lane = async () => {
    for (const batch of batches) {
      const Entries = batch.map((broker, index) => ({
        Id: `${index}`,
        MessageBody: JSON.stringify({
          broker_ids: String(broker),
          flag: broker % 10 ? 2 : 3,
          source: 1,
        }),
      }));
      await client.send(new SendMessageBatchCommand({ QueueUrl: endpoints.queues[id], Entries }));
    }
  };
  await Promise.all(Array.from({ length: senders }, lane));
}

/** Ten times, a worker or more each; a time when none is at work does not count. */
async function killNowAndThen({ emulator }: Stack, goesOn: () => boolean): Promise<number> {
  let rounds = 0;
  let killed = 0;
  while (rounds < kills && goesOn()) {
    await new Promise((done) => setTimeout(done, 400));
    const workers = workersOf(emulator).get(resourceName(id)) ?? [];
    for (const pid of workers) process.kill(pid, 'SIGKILL');
    killed += workers.length;
    if (workers.length) rounds += 1;
  }
  return killed;
}

async function isEmpty(
  { emulator, endpoints }: Stack,
  kind: 'queues' | 'deadLetterQueues',
): Promise<boolean> {
  const { Attributes = {} } = await new SQSClient(clientOptions(emulator)).send(
    new GetQueueAttributesCommand({ QueueUrl: endpoints[kind][id], AttributeNames: ['All'] }),
  );
  const names = ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'] as const;
  return names.every((name) => Number(Attributes[name]) === 0);
}

/** `npm start` killed with -9 in the middle leaves no process; started again it works. In a copy of the tree. */
export async function killedStart(dir: string): Promise<Figures> {
  const { stdout } = spawnSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' });
  for (const file of stdout.split('\0').filter(Boolean)) {
    mkdirSync(dirname(join(dir, file)), { recursive: true });
    cpSync(join(root, file), join(dir, file));
  }
  symlinkSync(join(root, 'node_modules'), join(dir, 'node_modules'));
  await startUntil(dir, 'Redis Cluster', 'SIGKILL');
  await until('nothing is left of the killed start', () => !leftOf(dir));
  await startUntil(dir, 'cdk deploy', 'SIGINT');
  await until('nothing is left of the second start', () => !leftOf(dir));
  return {
    title: '`npm start` killed with -9, then started again',
    facts: 'no process left, twice',
    good: true,
  };
}

const startTimeoutMs = 180_000;

async function startUntil(dir: string, step: string, signal: NodeJS.Signals): Promise<void> {
  const child = spawn(process.execPath, ['local/start.ts'], {
    cwd: dir,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (part) => {
      said += part;
    });
  const ended = new Promise((gone) => child.once('exit', gone));
  const done = () => {
    if (child.exitCode !== null) throw new Error(`It ended before ${step}:\n${said}`);
    return new RegExp(`✓.* ${step}`).test(said);
  };
  await until(`${step} is done`, done, { timeoutMs: startTimeoutMs });
  child.kill(signal);
  await ended;
}

/** Processes of the stack in `dir`, its servers included, that are more than dead entries. */
function leftOf(dir: string): boolean {
  const { stdout } = spawnSync('ps', ['-eo', 'stat=,args='], { encoding: 'utf8' });
  return stdout.split('\n').some((line) => line.includes(dir) && !line.startsWith('Z'));
}
