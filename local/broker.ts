/** Shows the broker domain: changes brokers upstream and measures when the site has the changes. */
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { SendMessageBatchCommand, SQSClient } from '@aws-sdk/client-sqs';
import type { RowDataPacket } from 'mysql2';
import { clientOptions } from './emulator.ts';
import { connect } from './mysql.ts';
import { type Progress, table } from './progress.ts';
import { getBroker, postPublish } from './publish.ts';
import type { Stack } from './stack.ts';
import { seedBrokers, seedOthers } from './upstream.ts';

type Connection = Awaited<ReturnType<typeof connect>>;

/** One kind of change, and the state of the user-facing tables after it has arrived. */
interface Change {
  readonly title: string;
  readonly count: number;
  /** The rest of a query after `from`: it returns one row per arrived change. */
  readonly arrived: string;
}

const mark = '改';
const base = 'user_prop_db.broker_base where broker_id between';
const extended = 'user_prop_db.broker_ext_profile where broker_id between';
const changes = {
  edited: {
    title: 'profiles edited in upstream MySQL, found by the minute scan',
    count: 1000,
    arrived: `${base} 1 and 1000 and true_name like '${mark}%' and is_deleted = 0`,
  },
  named: {
    title: 'profiles named in messages of an upstream system',
    count: 190,
    arrived: `${base} 1001 and 1190 and true_name like '${mark}%' and is_deleted = 0`,
  },
  deleted: {
    title: 'deletions named in messages of an upstream system',
    count: 10,
    arrived: `${base} 1191 and 1200 and is_deleted = 1`,
  },
  posted: {
    title: 'profiles posted to /publish, signed, as JSON and as forms',
    count: 90,
    arrived: `${base} 1801 and 1890 and true_name like '${mark}%' and is_deleted = 0`,
  },
  companies: {
    title: 'companies renamed, found by their scan',
    count: 20,
    arrived: `user_prop_db.broker_company where name like '${mark}%' and is_deleted = 0`,
  },
  stores: {
    title: 'stores moved, found by their scan',
    count: 200,
    arrived: `user_prop_db.broker_store where address like '${mark}%' and is_deleted = 0`,
  },
  talents: {
    title: 'WeChat talents and star agents, named in messages',
    count: 100,
    arrived: `${extended} 1 and 100 and is_wechat_talent = 1 and stars = 5 and is_deleted = 0`,
  },
  shops: {
    title: 'micro-shops, named in messages, asked for over HTTP',
    count: 100,
    arrived: `${extended} 1 and 100 and weidian_name like '${mark}%' and is_deleted = 0`,
  },
} satisfies Record<string, Change>;

/** Changes without an event: only a full run publishes them. */
const missed = {
  title: 'profiles of which nothing told, found by a run over everything',
  count: 90,
  arrived: `${base} 1901 and 1990 and true_name like '${mark}%' and is_deleted = 0`,
};
const gone = {
  title: 'rows that upstream had forgotten, marked deleted by the same run',
  count: 10,
  arrived: `${base} 5001 and 5010 and is_deleted = 1`,
};

const idsPerMessage = 10;
/** The time for a one-minute schedule and its safety lag, with reserve for a slow machine. */
const waitMs = 150_000;
const shownBroker = 7;

/** Changes brokers as upstream systems do, waits until the site has all changes, and shows how long each took. */
export async function showBroker(stack: Stack, { step }: Progress): Promise<boolean> {
  await step('2,000 brokers, their companies and stores in upstream MySQL', async () => {
    await seedBrokers(stack.mysql, 2000);
    await seedOthers(stack.mysql);
  });
  const admin = await connect(stack.mysql);
  try {
    const before = await step('the site as it was before', async () => {
      await sendIds(stack, [
        { source: 99, ids: [shownBroker] },
        { source: 101, ids: [107] },
        { source: 100, ids: [1007] },
      ]);
      return await profileOnce(admin);
    });
    const began = Date.now();
    await edit(admin);
    await sendChanges(stack);
    await postChanges(stack);
    const title = 'edited in MySQL, named on the queue, posted: waiting for the site';
    const kinds: readonly Change[] = Object.values(changes);
    const times = await step(title, () => arrivals(admin, kinds, began));
    const full = await publishAll(stack, admin, step);
    console.log(`\n${tableOf([...kinds, missed, gone], [...times, ...full])}\n`);
    console.log(
      `${table([`broker ${shownBroker} on the site`, 'before', 'after'], columnsOf(before, await profile(admin)))}\n`,
    );
    const { status, body } = await getBroker(stack, shownBroker);
    console.log(`GET /brokers/${shownBroker} → ${status} ${JSON.stringify(body)}\n`);
    const all = [...kinds, missed, gone].every(
      ({ count }, index) => [...times, ...full][index]?.length === count,
    );
    return all && status === 200;
  } finally {
    await admin.end();
  }
}

async function edit(admin: Connection): Promise<void> {
  await admin.query(`
    update anjuke_db.ajk_broker set TrueName = concat('${mark}', TrueName), updated_datetime = now() where BrokerId <= 1000;
    -- Without a new stamp: of these only the messages tell.
    update anjuke_db.ajk_broker set TrueName = concat('${mark}', TrueName) where BrokerId between 1001 and 1190;
    update anjuke_db.ajk_broker set TrueName = concat('${mark}', TrueName) where BrokerId between 1801 and 1890;
    update anjuke_db.ajk_broker set Status = 0 where BrokerId between 1191 and 1195;
    delete from anjuke_db.ajk_broker where BrokerId between 1196 and 1200;
    update anjuke_db.ajk_company set ShortName = concat('${mark}', ShortName), updated_datetime = now();
    update anjuke_db.ajk_store set Address = concat('${mark}', Address), updated_datetime = now();
    replace into anjuke_db.ajk_wechat_talent select BrokerId, 1, 3, now() from anjuke_db.ajk_broker where BrokerId <= 100;
    replace into anjuke_db.ajk_star_agent select BrokerId, 1, 5 from anjuke_db.ajk_broker where BrokerId <= 100;`);
}

interface Named {
  readonly source: number;
  readonly flag?: number;
  readonly ids: readonly number[];
}

const range = (first: number, count: number) => Array.from({ length: count }, (_, n) => first + n);

async function sendChanges(stack: Stack): Promise<void> {
  const shopOf = (id: number) => ({
    weidian_name: `${mark}${id}号微店`,
    wechat_name: `wx${id}`,
    qrcode: `https://weidian.example/${id}.png`,
  });
  await fetch(`${stack.endpoints.simulators.weishop}/__shops`, {
    method: 'POST',
    body: JSON.stringify(Object.fromEntries(range(1, 100).map((id) => [id, shopOf(id)]))),
  });
  const tens = (source: number, first: number, count: number, flag?: number): Named[] =>
    range(0, count / idsPerMessage).map((n) => ({
      source,
      ids: range(first + n * idsPerMessage, idsPerMessage),
      ...(flag && { flag }),
    }));
  await sendIds(stack, [
    ...tens(1, 1001, 190),
    ...tens(1, 1191, 10, 3),
    ...tens(2, 1, 100),
    ...tens(3, 1, 100),
  ]);
}

/** Posts changes over HTTP, ten ids per message; every second message is a form, as the old middleware accepted it. */
async function postChanges(stack: Stack): Promise<void> {
  for (let first = 1801; first <= 1890; first += idsPerMessage) {
    const broker_ids = range(first, idsPerMessage).join(',');
    const form = (first - 1801) % (2 * idsPerMessage) === 0;
    const { status, body } = await postPublish(stack, { broker_ids, flag: 2, source: 1 }, { form });
    if (status !== 202) throw new Error(`POST /publish: ${status} ${JSON.stringify(body)}`);
  }
}

/** Sends messages to the queue, as an upstream system does. */
async function sendIds({ emulator, endpoints }: Stack, named: readonly Named[]): Promise<void> {
  const client = new SQSClient(clientOptions(emulator));
  const bodies = named.map(({ source, flag = 2, ids }) =>
    JSON.stringify({ broker_ids: ids.join(','), flag, source }),
  );
  for (let start = 0; start < bodies.length; start += 10)
    await client.send(
      new SendMessageBatchCommand({
        QueueUrl: endpoints.queues['broker/apply-event'],
        Entries: bodies
          .slice(start, start + 10)
          .map((MessageBody, index) => ({ Id: `${index}`, MessageBody })),
      }),
    );
}

/** Starts a full run, as a person does with `npm run ops -- run`. */
async function publishAll(
  { emulator, endpoints }: Stack,
  admin: Connection,
  step: Progress['step'],
): Promise<number[][]> {
  await admin.query(`
    update anjuke_db.ajk_broker set TrueName = concat('${mark}', TrueName) where BrokerId between 1901 and 1990;
    insert into user_prop_db.broker_base (broker_id, is_deleted)
      with recursive n as (select 5001 id union all select id + 1 from n where id < 5010) select id, 0 from n;`);
  const began = Date.now();
  const lambda = new LambdaClient(clientOptions(emulator));
  const FunctionName = endpoints.functions['broker/publish-all-bases'];
  const { Payload } = await step('everything published by hand: broker/publish-all-bases', () =>
    lambda.send(new InvokeCommand({ FunctionName, Payload: '{"by":"npm start"}' })),
  );
  const { outcome, published, total } = JSON.parse(Buffer.from(Payload ?? []).toString());
  const title = `${outcome}: ${published} ids, of them ${total} upstream; waiting for the site`;
  return await step(title, () => arrivals(admin, [missed, gone], began));
}

/** Returns, for each kind of change, the seconds after which each of its rows had arrived. */
async function arrivals(
  admin: Connection,
  kinds: readonly Change[],
  began: number,
): Promise<number[][]> {
  const times = kinds.map((): number[] => []);
  while (Date.now() - began < waitMs) {
    const counts = kinds.map(({ arrived }) => `(select count(*) from ${arrived})`);
    const [rows] = await admin.query<RowDataPacket[][]>({
      sql: `select ${counts.join(', ')}`,
      rowsAsArray: true,
    });
    const seconds = (Date.now() - began) / 1000;
    for (const [index, count] of (rows[0] ?? []).entries())
      while ((times[index]?.length ?? 0) < Number(count)) times[index]?.push(seconds);
    if (kinds.every(({ count }, index) => times[index]?.length === count)) break;
    await new Promise((done) => setTimeout(done, 100));
  }
  return times;
}

function tableOf(kinds: readonly Change[], times: readonly (readonly number[])[]): string {
  const after = (seconds: number | undefined) =>
    seconds === undefined ? '–' : `${seconds.toFixed(1)} s`;
  const rows = kinds.map(({ title, count }, index) => {
    const those = times[index] ?? [];
    const median = those[Math.floor(those.length / 2)];
    return [title, count, those.length, after(those[0]), after(median), after(those.at(-1))];
  });
  return table(['what changed', 'sent', 'arrived', 'first', 'median', 'last'], rows);
}

/** Returns one profile of the site, from all its tables. */
async function profile(admin: Connection): Promise<Record<string, unknown>> {
  const [[row]] = await admin.query<RowDataPacket[]>(`
    select base.true_name, base.mobile, base.city_id, company.name company, store.name store, store.address,
      weidian_name, wechat_name, is_wechat_talent, talent_level, is_star_agent, stars, base.is_deleted
    from user_prop_db.broker_base base
      left join user_prop_db.broker_ext_profile ext on ext.broker_id = base.broker_id and ext.is_deleted = 0
      left join user_prop_db.broker_company company on company.company_id = base.company_id and company.is_deleted = 0
      left join user_prop_db.broker_store store on store.store_id = base.store_id and store.is_deleted = 0
    where base.broker_id = ${shownBroker}`);
  return { ...row };
}

/** Returns the profile once it is complete. */
async function profileOnce(admin: Connection): Promise<Record<string, unknown>> {
  const end = Date.now() + waitMs;
  for (;;) {
    const row = await profile(admin);
    if ((row['company'] && row['store'] && row['is_star_agent'] != null) || Date.now() > end)
      return row;
    await new Promise((done) => setTimeout(done, 100));
  }
}

const columnsOf = (before: Record<string, unknown>, after: Record<string, unknown>) =>
  Object.entries(after).map(([name, value]) => [
    name,
    ...[before[name], value].map((one) => (one == null ? '–' : String(one))),
  ]);
