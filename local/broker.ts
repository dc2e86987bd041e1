import { SendMessageBatchCommand, SQSClient } from '@aws-sdk/client-sqs';
import type { RowDataPacket } from 'mysql2';
import { connect, type Mysql } from './mysql.ts';
import { type Progress, table } from './progress.ts';
import { clientOptions, type Stack } from './stack.ts';
import { seedBrokers } from './upstream.ts';

type Connection = Awaited<ReturnType<typeof connect>>;

/** One kind of change that is let in, and how the user-facing table looks once it has arrived. */
interface Change {
  readonly title: string;
  readonly count: number;
  /** True for each row that has arrived. */
  readonly arrived: string;
}

const mark = '改';
const changes = {
  edited: {
    title: 'profiles edited in upstream MySQL, found by the minute scan',
    count: 1000,
    arrived: `broker_id between 1 and 1000 and true_name like '${mark}%' and is_deleted = 0`,
  },
  named: {
    title: 'profiles named in messages of an upstream system',
    count: 190,
    arrived: `broker_id between 1001 and 1190 and true_name like '${mark}%' and is_deleted = 0`,
  },
  deleted: {
    title: 'deletions named in messages of an upstream system',
    count: 10,
    arrived: 'broker_id between 1191 and 1200 and is_deleted = 1',
  },
} satisfies Record<string, Change>;

const idsPerMessage = 10;
/** A schedule of a minute, its safety lag, and room for a slow machine. */
const waitMs = 150_000;

/** Changes brokers as upstream systems do, waits until the site has it all, and says how long each took. */
export async function showBroker(stack: Stack, { step }: Progress): Promise<boolean> {
  await step('2,000 brokers in upstream MySQL', () => seedBrokers(stack.mysql, 2000));
  const admin = await connect(stack.mysql);
  try {
    const began = Date.now();
    await edit(admin);
    await sendMessages(stack);
    const title = '1,000 brokers edited, 200 named on the queue: waiting for the site';
    const times = await step(title, () => arrivals(admin, began));
    console.log(`\n${tableOf(times)}\n`);
    console.log(`${await profile(stack.mysql)}\n`);
    return Object.values(changes).every(({ count }, index) => times[index]?.length === count);
  } finally {
    await admin.end();
  }
}

async function edit(admin: Connection): Promise<void> {
  await admin.query(`
    update anjuke_db.ajk_broker set TrueName = concat('${mark}', TrueName), updated_datetime = now() where BrokerId <= 1000;
    -- Without a new stamp: of these only the messages tell.
    update anjuke_db.ajk_broker set TrueName = concat('${mark}', TrueName) where BrokerId between 1001 and 1190;
    update anjuke_db.ajk_broker set Status = 0 where BrokerId between 1191 and 1195;
    delete from anjuke_db.ajk_broker where BrokerId between 1196 and 1200;`);
}

async function sendMessages({ emulator, endpoints }: Stack): Promise<void> {
  const client = new SQSClient(clientOptions(emulator));
  const bodies = Array.from({ length: 20 }, (_, index) => {
    const ids = Array.from(
      { length: idsPerMessage },
      (_, offset) => 1001 + index * idsPerMessage + offset,
    );
    return JSON.stringify({ broker_ids: ids.join(','), flag: index === 19 ? 3 : 2, source: 1 });
  });
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

/** For each kind of change the seconds after which each of its rows was there. */
async function arrivals(admin: Connection, began: number): Promise<number[][]> {
  const kinds: readonly Change[] = Object.values(changes);
  const times = kinds.map((): number[] => []);
  while (Date.now() - began < waitMs) {
    const counts = kinds.map(
      ({ arrived }) => `(select count(*) from user_prop_db.broker_base where ${arrived})`,
    );
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

function tableOf(times: readonly (readonly number[])[]): string {
  const after = (seconds: number | undefined) =>
    seconds === undefined ? '–' : `${seconds.toFixed(1)} s`;
  const rows = Object.values(changes).map(({ title, count }, index) => {
    const those = times[index] ?? [];
    const median = those[Math.floor(those.length / 2)];
    return [title, count, those.length, after(those[0]), after(median), after(those.at(-1))];
  });
  return table(['what changed', 'sent', 'arrived', 'first', 'median', 'last'], rows);
}

/** One profile as the site now has it. */
async function profile(mysql: Mysql): Promise<string> {
  const admin = await connect(mysql);
  try {
    const [rows] = await admin.query<RowDataPacket[]>(
      'select * from user_prop_db.broker_base where broker_id = 7',
    );
    const [row] = rows;
    if (!row) return 'Broker 7 is not there.';
    return table(
      ['broker 7 on the site', ''],
      Object.entries(row).map(([name, value]) => [name, String(value)]),
    );
  } finally {
    await admin.end();
  }
}
