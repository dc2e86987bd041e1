/** Shows the order domain: changes orders upstream and measures when their pushes are sent. */
import type { RowDataPacket } from 'mysql2';
import * as z from 'zod';
import { type Scenario, scenarioOf, scenarios } from '../lib/order/pushes/scenarios.ts';
import { connect } from './mysql.ts';
import { until } from './processes.ts';
import { type Progress, table } from './progress.ts';
import type { Stack } from './stack.ts';

type Connection = Awaited<ReturnType<typeof connect>>;

/** Life cycles of orders. Each step is a status and who sets it; together they cover every scenario. */
const lives = [
  'PENDING_PAYMENT patient, CANCELLED system',
  `PAYING patient, PENDING_ACCEPT system, PENDING_SERVICE nurse, IN_SERVICE nurse,
    SERVICE_OVERTIME system, SERVICE_ABNORMAL system`,
  `PAYING patient, PENDING_ACCEPT patient, PRIORITY_PENDING_ACCEPT system, DISPATCHING system,
    REFUNDING system, REFUNDED system`,
  `IN_SERVICE nurse, SERVICE_COMPLETED nurse, REFUND_REQUESTED patient, SERVICE_COMPLETED patient`,
  `IN_SERVICE nurse, REFUND_REQUESTED patient, DISPUTE nurse, IN_SERVICE support, DISPUTE nurse,
    REFUNDING support`,
  'IN_SERVICE nurse, REFUND_REQUESTED patient, DISPUTE system, REFUNDING nurse',
  'IN_SERVICE nurse, REFUNDING nurse',
].map((life) => life.split(/,\s*/).map((step) => step.split(' ')));

const ordersPerLife = 20;
const firstOrder = 500_001;
/** The time for a one-minute schedule, with reserve for a slow machine. */
const checkpointTimeoutMs = 150_000;
const arriveMs = 120_000;

/** A step of a life cycle that sends a push. */
interface PushStep {
  readonly scenario: Scenario;
  readonly committedAtMs: number;
}

/** Takes orders through their life cycles in the order system's MySQL, and shows the pushes to each receiver. */
export async function showOrders(stack: Stack, { step }: Progress): Promise<boolean> {
  const admin = await connect(stack.mysql);
  try {
    await step('The reader of the order database’s binlog has started', () =>
      until('it has a checkpoint', () => hasCheckpoint(admin), { timeoutMs: checkpointTimeoutMs }),
    );
    const orders = lives.length * ordersPerLife;
    const steps = await step(`${orders} orders live their lives`, () => live(admin));
    const sum = steps.flat().length * ordersPerLife;
    const title = `${sum} pushes to patients and nurses: waiting for Singer`;
    const counts = await step(title, () => arrival(stack, sum));
    const rows = rowsOf(steps, counts, await delays(admin, steps));
    console.log(
      `\n${table(['order changes', 'told', 'expected', 'shown', 'median', 'last'], rows)}\n`,
    );
    return rows.every(([, , expected, shown]) => expected === shown);
  } finally {
    await admin.end();
  }
}

async function hasCheckpoint(admin: Connection): Promise<boolean> {
  const [rows] = await admin.query<RowDataPacket[]>('select 1 from push_db.binlog_checkpoint');
  return rows.length > 0;
}

/** Executes the steps of all life cycles, one step at a time. Returns the steps with a push for each life cycle. */
async function live(admin: Connection): Promise<PushStep[][]> {
  const steps = lives.map((): PushStep[] => []);
  const stepsMax = Math.max(...lives.map(({ length }) => length));
  for (let at = 0; at < stepsMax; at++)
    for (const [index, life] of lives.entries()) {
      const [[before = ''] = [], [after = '', by = ''] = []] = [life[at - 1], life[at]];
      if (!after) continue;
      const first = firstOrder + index * ordersPerLife;
      if (at === 0) await begin(admin, first, after, by);
      else await goOn(admin, first, after, by);
      const scenario = scenarioOf(before, after, by);
      if (scenario) steps[index]?.push({ scenario, committedAtMs: Date.now() });
    }
  return steps;
}

async function begin(admin: Connection, first: number, status: string, by: string): Promise<void> {
  const rows = Array.from({ length: ordersPerLife }, (_, index) => {
    const order = first + index;
    return [order, order + 1_000_000, order + 2_000_000, status, by];
  });
  await admin.query(
    'insert into order_db.`order` (order_id, patient_id, nurse_id, status, changed_by) values ?',
    [rows],
  );
}

async function goOn(admin: Connection, first: number, status: string, by: string): Promise<void> {
  await admin.query(
    'update order_db.`order` set status = ?, changed_by = ?, updated_at = now(3) where order_id between ? and ?',
    [status, by, first, first + ordersPerLife - 1],
  );
}

/** Waits until Singer has shown that many pushes, and counts them by text. Missing pushes appear in the table. */
async function arrival({ endpoints }: Stack, count: number): Promise<Map<string, number>> {
  const end = Date.now() + arriveMs;
  for (;;) {
    const response = await fetch(`${endpoints.simulators.singer}/__state`);
    const { pushes } = State.parse(await response.json());
    if (pushes.length >= count || Date.now() > end) return countsOf(pushes);
    await new Promise((done) => setTimeout(done, 200));
  }
}

const State = z.object({ pushes: z.array(z.object({ content: z.string() })) });
type Shown = z.infer<typeof State>['pushes'];

function countsOf(pushes: Shown): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { content } of pushes) counts.set(content, (counts.get(content) ?? 0) + 1);
  return counts;
}

/** Returns, for each scenario, the sorted seconds from a commit upstream until its push was sent. */
async function delays(
  admin: Connection,
  steps: readonly (readonly PushStep[])[],
): Promise<Map<number, number[]>> {
  const [rows] = await admin.query<RowDataPacket[]>(`
    select push.order_id, unix_timestamp(logged_at) * 1000 sentAtMs
    from push_db.push join push_db.push_log using (push_id)
    where outcome = 'sent' order by sequence`);
  const seconds = new Map<number, number[]>();
  for (const [order, pushes] of Map.groupBy(rows, ({ order_id }) => Number(order_id)))
    for (const [index, { sentAtMs }] of pushes.entries()) {
      const change = steps[Math.floor((order - firstOrder) / ordersPerLife)]?.[index];
      if (!change) continue;
      const { number } = change.scenario;
      const delay = (Number(sentAtMs) - change.committedAtMs) / 1000;
      seconds.set(number, [...(seconds.get(number) ?? []), Math.max(0, delay)]);
    }
  return new Map([...seconds].map(([number, all]) => [number, all.toSorted((a, b) => a - b)]));
}

function rowsOf(
  steps: readonly (readonly PushStep[])[],
  counts: ReadonlyMap<string, number>,
  times: ReadonlyMap<number, readonly number[]>,
): (readonly [string, string, number, number, string, string])[] {
  const after = (seconds: number | undefined) =>
    seconds === undefined ? '–' : `${seconds.toFixed(1)} s`;
  const changes = steps.flat();
  return scenarios.map(({ number, name, receiver, text }) => {
    const those = times.get(number) ?? [];
    const median = after(those[Math.floor(those.length / 2)]);
    const expected = changes.filter(({ scenario }) => scenario.number === number).length;
    const shown = counts.get(text) ?? 0;
    const title = `${number} ${name}`;
    return [title, receiver, expected * ordersPerLife, shown, median, after(those.at(-1))];
  });
}
