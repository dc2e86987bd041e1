/** Shows the call domain: sends calls to the local stack and checks their charges. */
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { SendMessageBatchCommand, SQSClient } from '@aws-sdk/client-sqs';
import type { RowDataPacket } from 'mysql2';
import { clientOptions } from './emulator.ts';
import { connect } from './mysql.ts';
import { type Progress, table } from './progress.ts';
import type { Stack } from './stack.ts';

type Connection = Awaited<ReturnType<typeof connect>>;
type Row = Record<string, string | number | null>;

/** An owner: the balance at the payment centre, in fen, and the amounts of signed contracts. */
interface Owner {
  readonly user_id: number;
  readonly title: string;
  readonly balance?: number;
  readonly frozen?: boolean;
  readonly contractFen?: number;
}

const owners: readonly Owner[] = [
  { user_id: 7001, title: 'with money', balance: 1_000_000, contractFen: 60_000 },
  { user_id: 7002, title: 'with money for two calls', balance: 8_000, contractFen: 100_000 },
  { user_id: 7003, title: 'whose account is frozen', balance: 100_000, frozen: true },
  { user_id: 7004, title: 'unknown to the payment centre' },
];

const price = 4_000;
const brokerPhone = '13700137000';
const rules = ['', 'valid', 'not connected', 'too short', 'called before', 'a broker'];
/** The time for two one-minute schedules, with reserve for a slow machine. */
const waitMs = 240_000;
const lookEveryMs = 500;

/** Sends calls of every kind to the queue and shows the result of each, to the fen. */
export async function showCall(stack: Stack, { step }: Progress): Promise<boolean> {
  const admin = await connect(stack.mysql);
  try {
    await step('Owners with money, contracts, a broker known by phone number', () =>
      prepare(stack, admin),
    );
    const bodies = calls();
    await send(stack, 'call/filter-call', bodies);
    const title = `${bodies.length} calls on the queue: waiting for charges, listings and income`;
    const done = await step(title, () => waitUntilSettled(admin, bodies.length));
    const verdict = await step('Reconciliation', () => reconcile(stack, admin));
    console.log(`\n${await tables(admin)}\n\n${verdict.text}\n`);
    return done && verdict.balanced;
  } finally {
    await admin.end();
  }
}

async function prepare(stack: Stack, admin: Connection): Promise<void> {
  for (const { user_id, balance, frozen } of owners)
    if (balance !== undefined)
      await fetch(`${stack.endpoints.simulators.payment}/__accounts`, {
        method: 'POST',
        body: JSON.stringify({ user_id, balance, ...(frozen && { frozen }) }),
      });
  const signed = owners.flatMap(({ user_id, contractFen: amount_fen }) => ({
    contract_id: user_id * 10,
    contract_no: `DYZ-${user_id}`,
    user_id,
    amount_fen,
    customer: `业主 ${user_id}`,
    signed_at: '2026-01-05 10:00:00',
  }));
  await send(
    stack,
    'call/post-contract',
    signed.filter(({ amount_fen }) => amount_fen),
  );
  await admin.query(
    'replace into anjuke_db.ajk_brokerextend values (900001, ?, now() - interval 60 second)',
    [brokerPhone],
  );
  await invoke(stack, 'call/sync-broker-phones', { time: new Date().toISOString() });
}

/** Returns calls of every kind. Each has a different caller unless it is set. */
function calls(): Record<string, unknown>[] {
  let count = 0;
  const call = (user_id: number, what: Record<string, unknown> = {}) => {
    count += 1;
    return {
      call_id: `demo-${count}`,
      routing_key: 'postcallinfo_dyz',
      user_id,
      status: 1,
      caller: `139${String(10_000_000 + count)}`,
      callee: '4008208820',
      duration: 61,
      started_at: minutesAgo(count),
      call_type: 1,
      ...what,
    };
  };
  const many = (length: number, make: () => Record<string, unknown>) =>
    Array.from({ length }, () => make());
  return [
    ...many(20, () => call(7001)),
    ...many(3, () => call(7001, { call_type: 2 })),
    ...many(5, () => call(7001, { status: 0, duration: 0 })),
    ...many(5, () => call(7001, { duration: 8 })),
    ...many(4, () => call(7001, { caller: '13811112222' })),
    ...many(2, () => call(7001, { caller: `86${brokerPhone}` })),
    ...many(3, () => call(7002)),
    call(7003),
    call(7004),
  ];
}

const minutesAgo = (minutes: number): string =>
  new Date(Date.now() + 8 * 3_600_000 - minutes * 60_000)
    .toISOString()
    .slice(0, 19)
    .replace('T', ' ');

async function send(
  { emulator, endpoints }: Stack,
  id: string,
  bodies: readonly unknown[],
): Promise<void> {
  const client = new SQSClient(clientOptions(emulator));
  for (let start = 0; start < bodies.length; start += 10)
    await client.send(
      new SendMessageBatchCommand({
        QueueUrl: endpoints.queues[id],
        Entries: bodies
          .slice(start, start + 10)
          .map((body, index) => ({ Id: `${index}`, MessageBody: JSON.stringify(body) })),
      }),
    );
}

async function invoke({ emulator, endpoints }: Stack, id: string, input: unknown): Promise<Row> {
  const client = new LambdaClient(clientOptions(emulator));
  const { Payload, FunctionError } = await client.send(
    new InvokeCommand({ FunctionName: endpoints.functions[id], Payload: JSON.stringify(input) }),
  );
  const answer = Payload ? Buffer.from(Payload).toString() : 'null';
  if (FunctionError) throw new Error(`${id} fails: ${answer}`);
  return JSON.parse(answer) as Row;
}

async function rowsOf(admin: Connection, sql: string): Promise<Row[]> {
  const [rows] = await admin.query<RowDataPacket[]>(sql);
  return rows as Row[];
}

const [log, paid] = [
  "user_prop_db.sublessor_call_log_201409 where call_id like 'demo-%'",
  'user_prop_db.sublessor_call_payment_log_201409',
];

/**
 * Returns whether, within the time, all calls are decided, charged or refused, and posted, and the listings of owners
 * who could not pay are offline.
 */
async function waitUntilSettled(admin: Connection, count: number): Promise<boolean> {
  const until = Date.now() + waitMs;
  while (Date.now() < until) {
    const [row] = await rowsOf(
      admin,
      `select
        (select count(*) from ${log} and filter_rule is not null) = ${count}
        and (select count(*) from ${log} and filter_rule = 1) = (select count(*) from ${paid}
          where state in ('charged', 'refused'))
        and not exists (select 1 from ${paid} p where state = 'charged' and not exists
          (select 1 from user_prop_db.sublessor_accounting_income_201409 i where i.payment_id = p.id))
        and (select count(*) from user_prop_db.sublessor_listings where state = 'offline') = 3
        and (select count(*) from user_prop_db.sublessor_contract where status = 'posted') = 2 done`,
    );
    if (Number(row?.['done'])) return true;
    await new Promise((look) => setTimeout(look, lookEveryMs));
  }
  return false;
}

async function reconcile(stack: Stack, admin: Connection) {
  const [row] = await rowsOf(admin, 'select current_date today');
  const answer = await invoke(stack, 'call/reconcile', { from: row?.['today'] });
  const balanced = answer['outcome'] === 'balanced';
  const found = balanced ? '' : `: ${JSON.stringify(answer['first'])}`;
  return { balanced, text: `Reconciliation of ${answer['from']}: ${answer['outcome']}${found}` };
}

async function tables(admin: Connection): Promise<string> {
  const decided = await rowsOf(
    admin,
    `select filter_rule, count(*) calls, (select coalesce(sum(p.amount_fen), 0) from ${paid} p
      join user_prop_db.sublessor_call_log_201409 c on c.id = p.call_log_id
      where c.filter_rule = l.filter_rule and p.state = 'charged') fen
     from ${log.replace(' where', ' l where')} group by filter_rule order by filter_rule`,
  );
  const byOwner = await rowsOf(
    admin,
    `select p.user_id, sum(p.state = 'charged') charged, sum(p.state = 'refused') refused,
      (select state from user_prop_db.sublessor_listings l where l.user_id = p.user_id) state,
      (select cause from user_prop_db.sublessor_listings l where l.user_id = p.user_id) cause
     from ${paid} p group by p.user_id order by p.user_id`,
  );
  const posted = await rowsOf(
    admin,
    `select coalesce(c.contract_no, 'waits for a contract') contract, c.amount_fen,
      sum(i.amount_fen) income, c.balance_fen
     from user_prop_db.sublessor_accounting_income_201409 i
     left join user_prop_db.sublessor_contract c on c.contract_id = i.contract_id
     group by c.contract_id order by c.contract_id is null, c.contract_id`,
  );
  return [
    table(
      ['calls by rule', 'calls', 'charged, yuan'],
      decided.map((row) => [
        `${row['filter_rule']} ${rules[Number(row['filter_rule'])]}`,
        ...[Number(row['calls']), yuan(row['fen'])],
      ]),
    ),
    table(
      [`owners (${price / 100} yuan a call)`, 'charged', 'refused', 'listings'],
      byOwner.map((row) => [
        `${row['user_id']} ${owners.find(({ user_id }) => user_id === Number(row['user_id']))?.title}`,
        ...[Number(row['charged']), Number(row['refused'])],
        row['cause'] ? `${row['state']}: ${row['cause']}` : 'online',
      ]),
    ),
    table(
      ['contracts', 'signed, yuan', 'income', 'left'],
      posted.map((row) => [
        ...[String(row['contract']), yuan(row['amount_fen'])],
        ...[yuan(row['income']), yuan(row['balance_fen'])],
      ]),
    ),
  ].join('\n\n');
}

const yuan = (fen: Row[string] | undefined): string =>
  fen == null ? '–' : (Number(fen) / 100).toFixed(2);
