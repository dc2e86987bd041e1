/** What only real processes can show: workers killed under ten thousand messages, and a start that is killed. */
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { GetQueueAttributesCommand, SendMessageBatchCommand, SQSClient } from '@aws-sdk/client-sqs';
import type { RowDataPacket } from 'mysql2';
import { sources } from '../../lib/broker/queues.ts';
import { resourceName } from '../../lib/platform/names.ts';
import { clientOptions, workersOf } from '../../local/emulator.ts';
import { connect } from '../../local/mysql.ts';
import { until } from '../../local/processes.ts';
import { progressOn } from '../../local/progress.ts';
import { root } from '../../local/root.ts';
import { type Stack, startStack } from '../../local/stack.ts';
import { seedBrokers } from '../../local/upstream.ts';
import { randomOf } from '../simulation/random.ts';
import type { Figures } from '../support/tally.ts';
import { readAllTheTime, staleMsMax } from './readers.ts';

type Admin = Awaited<ReturnType<typeof connect>>;

const id = 'broker/apply-event';
const brokers = 1_500;
const messages = 10_000;
const kills = 10;
const senders = 4;
const fewMessages = 20;

/**
 * Ten thousand changes and deletions upstream, each named in a message that is sent one to three times in random
 * order by four senders, while the consumer's workers are killed with -9 ten times: the site equals upstream, and who
 * reads two hundred changing profiles meanwhile is shown nothing older than is promised.
 */
export async function killedConsumers(dir: string, seed: number): Promise<Figures> {
  const stack = await startStack(dir, {}, progressOn(process.stdout));
  const admin = await connect(stack.mysql);
  try {
    const random = randomOf(seed).next;
    await changeAll(stack, admin);
    const began = Date.now();
    const named = Array.from({ length: messages }, (_, n) => nameOne(n));
    const sent = shuffled(
      named.flatMap((one) => Array.from({ length: 1 + Math.floor(random() * 3) }, () => one)),
      random,
    );
    let sending = true;
    const reading = readAllTheTime(stack, admin, () => sending);
    const killing = killNowAndThen(stack, () => sending);
    await send(stack, sent);
    const killed = await killing;
    // What is left are messages of the readers' own, which come for as long as they are wanted.
    await until('the ten thousand are consumed', () => isEmpty(stack, 'queues', fewMessages), {
      timeoutMs: 240_000,
      pollMs: 500,
    });
    sending = false;
    const { reads, changes, worstMs } = await reading;
    await until('the queue is empty', () => isEmpty(stack, 'queues'), {
      timeoutMs: 240_000,
      pollMs: 500,
    });
    const different = await differences(admin);
    const seconds = Math.round((Date.now() - began) / 1000);
    const dead = (await isEmpty(stack, 'deadLetterQueues')) ? 'none' : 'some';
    return {
      title: 'consumers killed under 10,000 real messages',
      facts: `${sent.length} deliveries, ${killed} workers killed, ${different} rows differ, dead letters ${dead}; ${reads} reads during ${changes} changes of 200 profiles, the oldest shown ${worstMs} ms after it was followed; ${seconds} s`,
      good: different === 0 && dead === 'none' && killed >= kills && worstMs < staleMsMax,
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

/** Ids of brokers, and of as many companies and stores. */
const kinds = [
  sources.base,
  sources.weidian,
  sources.talentAndStar,
  sources.all,
  sources.store,
  sources.company,
] as const;

interface Named {
  readonly id: number;
  readonly source: number;
}

/** Each kind names each id at least once in the ten thousand, brokers of the base more often. */
const nameOne = (n: number): Named => ({
  id: 1 + (Math.floor(n / kinds.length) % brokers),
  source: kinds[n % kinds.length] ?? sources.base,
});

/** Every kind of change upstream, deletions among them, and a micro-shop for every second broker. */
async function changeAll({ mysql, endpoints }: Stack, admin: Admin): Promise<void> {
  await seedBrokers(mysql, brokers);
  await admin.query(`
    update anjuke_db.ajk_broker set TrueName = concat('改', BrokerId);
    insert into anjuke_db.ajk_company select BrokerId, TrueName, concat('司', BrokerId), 1, now() from anjuke_db.ajk_broker;
    insert into anjuke_db.ajk_store select BrokerId, 1, concat('店', BrokerId), '路', 1, now() from anjuke_db.ajk_broker;
    insert into anjuke_db.ajk_wechat_talent select BrokerId, 1, BrokerId % 5, now() from anjuke_db.ajk_broker where BrokerId % 3 = 0;
    insert into anjuke_db.ajk_star_agent select BrokerId, 1, BrokerId % 6 from anjuke_db.ajk_broker where BrokerId % 4 = 0;
    delete from anjuke_db.ajk_broker where BrokerId % 10 = 0;
    update anjuke_db.ajk_company set Status = 0 where CompanyId % 10 = 0;
    delete from anjuke_db.ajk_store where StoreId % 10 = 0;`);
  const shops = Array.from({ length: brokers / 2 }, (_, n) => {
    const name = `shop ${n * 2 + 1}`;
    return [n * 2 + 1, { weidian_name: name, wechat_name: name, qrcode: name }];
  });
  const body = JSON.stringify(Object.fromEntries(shops));
  await fetch(`${endpoints.simulators.weishop}/__shops`, { method: 'POST', body });
}

/** Rows of all four tables that are not as they must be. */
async function differences(admin: Admin): Promise<number> {
  const [rows] = await admin.query<RowDataPacket[]>(
    `
    select (select count(*) from ids left join anjuke_db.ajk_broker u on u.BrokerId = id
        left join user_prop_db.broker_base b on b.broker_id = id
        where is_deleted is null or if(u.BrokerId is null, is_deleted = 0, is_deleted = 1 or TrueName <> true_name))
      + (select count(*) from ids left join anjuke_db.ajk_broker u on u.BrokerId = id
        left join anjuke_db.ajk_wechat_talent t on t.BrokerId = id left join anjuke_db.ajk_star_agent s on s.BrokerId = id
        left join user_prop_db.broker_ext_profile e on e.broker_id = id
        where is_deleted is null or if(u.BrokerId is null, is_deleted = 0, is_deleted = 1 or not talent_level <=> Level
          or not e.stars <=> s.Stars or not weidian_name <=> if(id % 2, concat('shop ', id), null)))
      + (select count(*) from ids left join anjuke_db.ajk_company u on u.CompanyId = id
        left join user_prop_db.broker_company c on c.company_id = id
        where is_deleted is null or (Status = 0) <> is_deleted or ShortName <> name)
      + (select count(*) from ids left join anjuke_db.ajk_store u on u.StoreId = id
        left join user_prop_db.broker_store c on c.store_id = id
        where is_deleted is null or (u.StoreId is null) <> is_deleted or StoreName <> name) different
    from (select 1) one`.replaceAll(
      'from ids',
      `from (select CompanyId id from anjuke_db.ajk_company) ids`,
    ),
  );
  return Number(rows[0]?.['different']);
}

async function send({ emulator, endpoints }: Stack, named: readonly Named[]): Promise<void> {
  const client = new SQSClient(clientOptions(emulator));
  const batches = Array.from({ length: Math.ceil(named.length / 10) }, (_, n) =>
    named.slice(n * 10, n * 10 + 10),
  ).values();
  const lane = async () => {
    for (const batch of batches) {
      const Entries = batch.map(({ id: one, source }, index) => ({
        Id: `${index}`,
        MessageBody: JSON.stringify({ broker_ids: `${one}`, flag: one % 10 ? 2 : 3, source }),
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
  most = 0,
): Promise<boolean> {
  const { Attributes = {} } = await new SQSClient(clientOptions(emulator)).send(
    new GetQueueAttributesCommand({ QueueUrl: endpoints[kind][id], AttributeNames: ['All'] }),
  );
  const names = ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'] as const;
  return names.every((name) => Number(Attributes[name]) <= most);
}

const everyBroker = 200_000;
const goneBrokers = 1_000;
const fullKills = 5;
const full = 'broker/publish-all-bases';

/**
 * Two hundred thousand brokers are published, and the process that does it is killed with -9 five times: called again
 * it goes on, each id is published once, and what upstream has forgotten is marked deleted.
 */
export async function killedFullRun(dir: string): Promise<Figures> {
  const stack = await startStack(dir, {}, progressOn(process.stdout), { search: false });
  const admin = await connect(stack.mysql);
  try {
    await seedBrokers(stack.mysql, everyBroker);
    await admin.query(`insert into user_prop_db.broker_base (broker_id, is_deleted)
      select BrokerId + ${everyBroker}, 0 from anjuke_db.ajk_broker where BrokerId <= ${goneBrokers}`);
    const began = Date.now();
    let published = false;
    const killing = killEach(stack, admin, () => published);
    while (!published) published = (await publishAll(stack)) === 'published';
    const killed = await killing;
    const count = async (sql: string) => {
      const [[row]] = await admin.query<RowDataPacket[]>(sql);
      return Number(row?.['count']);
    };
    const right = () =>
      count(`select count(*) count from user_prop_db.broker_base left join anjuke_db.ajk_broker on BrokerId = broker_id
        where if(BrokerId is null, is_deleted, not is_deleted and TrueName = true_name)`);
    const all = everyBroker + goneBrokers;
    await until('the site is complete', async () => (await right()) === all, {
      timeoutMs: 600_000,
      pollMs: 2_000,
    });
    const sent = await count('select published count from signalbox.broker_walk');
    const runs = await count('select run count from signalbox.broker_walk');
    return {
      title: `a run over ${everyBroker.toLocaleString('en')} brokers, killed ${killed} times`,
      facts: `${sent} ids published in ${runs} run, ${Math.round((Date.now() - began) / 1000)} s`,
      good: killed === fullKills && sent === all && runs === 1,
    };
  } finally {
    await admin.end();
    await stack.stop();
  }
}

/** What a person does: calls, and calls again when the call ended in an error. */
async function publishAll({ emulator, endpoints }: Stack): Promise<unknown> {
  const lambda = new LambdaClient({ ...clientOptions(emulator), maxAttempts: 1 });
  const command = new InvokeCommand({ FunctionName: endpoints.functions[full], Payload: '{}' });
  const { Payload } = await lambda.send(command).catch(() => ({ Payload: undefined }));
  return Payload && JSON.parse(Buffer.from(Payload).toString())?.outcome;
}

/** Each time the run has come on by another part. */
async function killEach({ emulator }: Stack, admin: Admin, ended: () => boolean): Promise<number> {
  let killed = 0;
  while (killed < fullKills && !ended()) {
    const [[row]] = await admin.query<RowDataPacket[]>('select at_id from signalbox.broker_walk');
    const workers = workersOf(emulator).get(resourceName(full)) ?? [];
    if (
      workers.length &&
      Number(row?.['at_id']) > (killed * everyBroker) / (fullKills + 1) + 5_000
    ) {
      for (const pid of workers) process.kill(pid, 'SIGKILL');
      killed += 1;
    }
    await new Promise((done) => setTimeout(done, 20));
  }
  return killed;
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
