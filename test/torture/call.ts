/** Ten thousand real calls through the deployed stack, while everything goes wrong that can: at the end all books agree. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { GetQueueAttributesCommand, SendMessageBatchCommand, SQSClient } from '@aws-sdk/client-sqs';
import type { RowDataPacket } from 'mysql2';
import * as z from 'zod';
import { resourceName } from '../../lib/platform/names.ts';
import { clientOptions, workersOf } from '../../local/emulator.ts';
import { connect } from '../../local/mysql.ts';
import { until } from '../../local/processes.ts';
import { progressOn } from '../../local/progress.ts';
import { root } from '../../local/root.ts';
import { type Stack, startStack } from '../../local/stack.ts';
import { randomOf } from '../simulation/random.ts';
import type { Figures } from '../support/tally.ts';

const calls = 10_000;
const owners = 200;
const callersPerOwner = 25;
const kills = 20;
const senders = 4;
/** With some fifty charges a second about every twentieth. */
const loseEveryMs = 400;
const priceFen = 4_000;
const killed = ['call/filter-call', 'call/charge-call'] as const;
const drained = [...killed, 'call/switch-listings'] as const;
const log = 'user_prop_db.sublessor_call_log_201409';
const payments = 'user_prop_db.sublessor_call_payment_log_201409';

type Admin = Awaited<ReturnType<typeof connect>>;

/**
 * Each call is delivered one to three times in random order by four senders; the workers that filter and charge are
 * killed with -9 twenty times, and the payment centre loses answers all the while.
 */
export async function chargedCalls(dir: string, seed: number, count = calls): Promise<Figures> {
  const stack = await startStack(dir, {}, progressOn(process.stdout), { search: false });
  const admin = await connect(stack.mysql);
  try {
    const began = Date.now();
    const paidIn = await openAccounts(stack);
    let sending = true;
    const [killing, losing] = [
      killNowAndThen(stack, () => sending),
      loseNowAndThen(stack, () => sending),
    ];
    const deliveries = await send(stack, seed, count);
    await until('all calls are decided and sent on', () => isQuiet(stack, admin, count), {
      timeoutMs: 900_000,
      pollMs: 1_000,
    });
    sending = false;
    const [workers, lost] = await Promise.all([killing, losing]);
    const unknown = await settleAll(stack, admin);
    const wrong = await disagreements(stack, admin, paidIn, count);
    const seconds = Math.round((Date.now() - began) / 1000);
    return {
      title: `${count} real calls filtered and charged`,
      facts: `${deliveries} deliveries, ${workers} workers killed, ${lost} answers lost, ${unknown} charges settled by asking, ${wrong.length ? wrong.join('; ') : 'all books agree'}, ${seconds} s`,
      good: !wrong.length && workers >= kills && unknown > 0,
    };
  } finally {
    await admin.end();
    await stack.stop();
  }
}

/** Most can pay for all calls, some run out of money, a few have no account; what was paid in, by owner. */
async function openAccounts({ endpoints }: Stack): Promise<Map<string, number>> {
  const paidIn = new Map<string, number>();
  for (let owner = 1; owner <= owners; owner++) {
    if (owner % 50 === 0) continue;
    const balance = owner % 10 === 0 ? 5 * priceFen : 1_000 * priceFen;
    const body = JSON.stringify({ user_id: owner, balance });
    await fetch(`${endpoints.simulators.payment}/__accounts`, { method: 'POST', body });
    paidIn.set(String(owner), balance);
  }
  return paidIn;
}

async function send({ emulator, endpoints }: Stack, seed: number, count: number): Promise<number> {
  const { next, between } = randomOf(seed);
  const bodies = Array.from({ length: count }, (_, id) => {
    const owner = between(1, owners);
    const day = String(between(1, 28)).padStart(2, '0');
    const hour = String(between(0, 23)).padStart(2, '0');
    return JSON.stringify({
      call_id: `torture-${id}`,
      routing_key: 'postcallinfo_dyz',
      user_id: owner,
      caller: `138${String(owner * callersPerOwner + between(1, callersPerOwner)).padStart(8, '0')}`,
      callee: '4008208820',
      status: next() < 0.9 ? 1 : 0,
      duration: between(5, 300),
      started_at: `2026-11-${day} ${hour}:00:00`,
    });
  });
  const copies = bodies.flatMap((body) => Array.from({ length: between(1, 3) }, () => body));
  const order = copies.map((body) => ({ body, key: next() })).toSorted((a, b) => a.key - b.key);
  const batches = Array.from({ length: Math.ceil(order.length / 10) }, (_, n) =>
    order.slice(n * 10, n * 10 + 10),
  ).values();
  const client = new SQSClient(clientOptions(emulator));
  const QueueUrl = endpoints.queues['call/filter-call'];
  const lane = async () => {
    for (const batch of batches) {
      const Entries = batch.map(({ body }, index) => ({ Id: `${index}`, MessageBody: body }));
      await client.send(new SendMessageBatchCommand({ QueueUrl, Entries }));
    }
  };
  await Promise.all(Array.from({ length: senders }, lane));
  return order.length;
}

/** Workers of both functions in turn; a time when none is at work does not count. */
async function killNowAndThen({ emulator }: Stack, goesOn: () => boolean): Promise<number> {
  let ended = 0;
  for (let round = 0; ended < 2 * kills && goesOn(); round++) {
    await new Promise((done) => setTimeout(done, 700));
    const workers = workersOf(emulator).get(resourceName(killed[round % 2] ?? killed[0])) ?? [];
    for (const pid of workers) process.kill(pid, 'SIGKILL');
    ended += workers.length;
  }
  return ended;
}

async function loseNowAndThen({ endpoints }: Stack, goesOn: () => boolean): Promise<number> {
  const body = JSON.stringify({ path: '/trade/deduct', mode: 'lose_answer', times: 1 });
  let lost = 0;
  for (; goesOn(); lost++) {
    await fetch(`${endpoints.simulators.payment}/__faults`, { method: 'POST', body });
    await new Promise((done) => setTimeout(done, loseEveryMs));
  }
  return lost;
}

async function numberOf(admin: Admin, statement: string): Promise<number> {
  const [rows] = await admin.query<RowDataPacket[]>(statement);
  return Number(Object.values(rows[0] ?? {})[0]);
}

async function isQuiet(stack: Stack, admin: Admin, count: number): Promise<boolean> {
  const decided = `select count(*) from ${log} where filter_rule is not null`;
  if ((await numberOf(admin, decided)) < count) return false;
  const charged = `select count(*) from ${log} c where filter_rule = 1
    and not exists (select 1 from ${payments} p where p.call_log_id = c.id)`;
  return (await numberOf(admin, charged)) === 0 && (await isEmpty(stack, 'queues'));
}

async function isEmpty(
  { emulator, endpoints }: Stack,
  kind: 'queues' | 'deadLetterQueues',
): Promise<boolean> {
  const client = new SQSClient(clientOptions(emulator));
  const names = ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'] as const;
  for (const id of drained) {
    const { Attributes = {} } = await client.send(
      new GetQueueAttributesCommand({ QueueUrl: endpoints[kind][id], AttributeNames: ['All'] }),
    );
    if (names.some((name) => Number(Attributes[name]) > 0)) return false;
  }
  return true;
}

const open = `select count(*) from ${payments} where state in ('sent', 'unknown', 'intent')`;

/** Lets time pass for what is open, and the schedule come, until nothing is; how many there were. */
async function settleAll(stack: Stack, admin: Admin): Promise<number> {
  const first = await numberOf(admin, open);
  await until(
    'every charge is final',
    async () => {
      await admin.query(`
      update ${payments} set ask_at = now() where state = 'unknown';
      update ${payments} set updated_at = now() - interval 1 hour where state = 'sent' and in_hand_until < now();
      update ${payments} set ask_at = null, updated_at = now() - interval 1 hour where state = 'intent'`);
      await invoke(stack, 'call/settle-unknown-charges', 'five-minutes');
      await invoke(stack, 'call/post-income', 'minute');
      return (await numberOf(admin, open)) === 0 && (await isEmpty(stack, 'queues'));
    },
    { timeoutMs: 600_000, pollMs: 1_000 },
  );
  return first;
}

async function invoke({ emulator }: Stack, id: `${string}/${string}`, event: string) {
  const Payload = readFileSync(join(root, 'events', id, `${event}.json`));
  const client = new LambdaClient(clientOptions(emulator));
  const FunctionName = resourceName(id);
  const { FunctionError } = await client.send(new InvokeCommand({ FunctionName, Payload }));
  if (FunctionError) throw new Error(`${id} ended with ${FunctionError}.`);
}

const State = z.object({
  accounts: z.record(z.string(), z.object({ balance: z.int() })),
  trades: z.array(
    z.object({
      trade_id: z.string(),
      user_id: z.string(),
      amount: z.int(),
      state: z.enum(['done', 'refused']),
    }),
  ),
});

/** What is not as it must be, a line each. */
async function disagreements(
  stack: Stack,
  admin: Admin,
  paidIn: ReadonlyMap<string, number>,
  count: number,
): Promise<string[]> {
  const response = await fetch(`${stack.endpoints.simulators.payment}/__state`);
  const { accounts, trades } = State.parse(await response.json());
  const done = trades.filter(({ state }) => state === 'done');
  const booked = new Set(done.map(({ trade_id }) => trade_id));
  const [rows] = await admin.query<RowDataPacket[]>(`select id, user_id, state from ${payments}`);
  const charged = new Set(rows.flatMap(({ id, state }) => (state === 'charged' ? [id] : [])));
  const spent = Map.groupBy(done, ({ user_id }) => user_id);
  const wrongBalances = [...paidIn].filter(
    ([owner, paid]) =>
      accounts[owner]?.balance !== paid - priceFen * (spent.get(owner)?.length ?? 0),
  );
  const near = 'abs(timestampdiff(second, one.started_at, two.started_at)) < 86400';
  const pair =
    'two.user_id = one.user_id and two.caller_digits = one.caller_digits and two.id <> one.id';
  const counts: [what: string, number: number][] = [
    ['calls are missing', count - (await numberOf(admin, `select count(*) from ${log}`))],
    [
      'valid calls of a pair are too near each other',
      await numberOf(
        admin,
        `select count(*) from ${log} one join ${log} two on ${pair} and ${near} where one.filter_rule = 1 and two.filter_rule = 1`,
      ),
    ],
    [
      'calls were passed over for nobody',
      await numberOf(
        admin,
        `select count(*) from ${log} one where one.status = 1 and one.duration > 8 and one.filter_rule <> 1
      and not exists (select 1 from ${log} two where ${pair} and ${near} and (two.filter_rule = 1 or two.status = 1 and two.started_at <= one.started_at))`,
      ),
    ],
    [
      'valid calls have no charge',
      await numberOf(
        admin,
        `select count(*) from ${log} c where filter_rule = 1 and not exists (select 1 from ${payments} p where p.call_log_id = c.id)`,
      ),
    ],
    [
      'charges are for calls that are not valid',
      await numberOf(
        admin,
        `select count(*) from ${payments} p left join ${log} c on c.id = p.call_log_id where coalesce(c.filter_rule, 0) <> 1`,
      ),
    ],
    ['charges are not in the ledger', [...charged].filter((id) => !booked.has(id)).length],
    [
      'trades are not charged here',
      done.filter(({ trade_id, amount }) => !charged.has(trade_id) || amount !== priceFen).length,
    ],
    ['balances are wrong', wrongBalances.length],
    [
      'charges have no income',
      await numberOf(
        admin,
        `select count(*) from ${payments} p where state = 'charged' and amount_fen <> coalesce((select sum(amount_fen) from user_prop_db.sublessor_accounting_income_201409 i where i.payment_id = p.id), 0)`,
      ),
    ],
    ['queues hold dead letters', (await isEmpty(stack, 'deadLetterQueues')) ? 0 : 1],
  ];
  return counts.filter(([, number]) => number !== 0).map(([what, number]) => `${number} ${what}`);
}
