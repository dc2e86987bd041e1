/** What only real processes can show of orders: readers, pushers and the database killed under 20,000 changes. */
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { RowDataPacket } from 'mysql2';
import * as z from 'zod';
import { resourceName } from '../../lib/platform/names.ts';
import { workersOf } from '../../local/emulator.ts';
import { connect, startMysqlAgain } from '../../local/mysql.ts';
import { until } from '../../local/processes.ts';
import { progressOn } from '../../local/progress.ts';
import { type Stack, startStack } from '../../local/stack.ts';
import { type Random, randomOf } from '../simulation/random.ts';
import type { Figures } from '../support/tally.ts';
import { live, newOrders, type Order } from './order-lives.ts';

const orderCount = 2_000;
const lanes = 4;
const restarts = ['SIGTERM', 'SIGKILL'] as const;
const standsMs = 180_000;
const patience = { timeoutMs: 1_200_000, pollMs: 2_000 };
/** Comes when all else is done: once it is seen, everything before it was read. */
const lastOrder = 900_001;

interface Run {
  /** Changes that were kept. */
  kept: number;
  going: boolean;
  killed: number;
}

/**
 * Random changes of 2,000 orders, several to a transaction and some rolled back, while readers and pushers are killed
 * with -9, the push service loses answers and refuses, the log is rotated, and MySQL is ended, then killed: per order
 * the push service shows exactly the pushes of its history, in order.
 */
export async function killedReaders(dir: string, seed: number, changes = 20_000): Promise<Figures> {
  const stack = await startStack(dir, {}, progressOn(process.stdout), { search: false });
  try {
    await until('the reader stands', () => standing(stack), { timeoutMs: standsMs, pollMs: 500 });
    const orders = await newOrders(stack.mysql, orderCount, randomOf(seed));
    const began = Date.now();
    const run: Run = { kept: 0, going: true, killed: 0 };
    const harm = Promise.all([
      restarting(stack, dir, run, changes),
      killing(stack, randomOf(seed + 1), run),
      disturbing(stack, randomOf(seed + 2), run),
    ]);
    const onChange = (kept: number) => {
      run.kept += kept;
    };
    await Promise.all(
      Array.from({ length: lanes }, (_, lane) => {
        const mine = orders.filter(({ id }) => id % lanes === lane);
        const random = randomOf(seed + 3 + lane);
        return live(stack.mysql, `lane ${lane}`, mine, random, {
          changes: changes / lanes,
          onChange,
        });
      }),
    );
    await changeLast(stack);
    await until('all changes are read', () => isLastSeen(stack), patience);
    run.going = false;
    await harm;
    await until('every push has ended', () => isNoneOpen(stack), patience);
    const wrong = await differences(stack, orders);
    const seconds = Math.round((Date.now() - began) / 1000);
    return {
      title: `readers, pushers and MySQL killed under ${changes.toLocaleString('en')} changes of orders`,
      facts: `${run.kept} changes, ${run.killed} workers killed, ${wrong.facts}, ${seconds} s`,
      good: !wrong.differences.length && run.killed > 0,
    };
  } finally {
    await stack.stop();
  }
}

async function asked(stack: Stack, sql: string, values: unknown[] = []): Promise<RowDataPacket[]> {
  const admin = await connect(stack.mysql);
  try {
    const [rows] = await admin.query<RowDataPacket[]>(sql, values);
    return rows;
  } finally {
    await admin.end();
  }
}

const standing = async (stack: Stack): Promise<boolean> =>
  (await asked(stack, 'select 1 from push_db.binlog_checkpoint')).length > 0;

const pause = (ms: number) => new Promise((done) => setTimeout(done, ms));

/** Ends MySQL after a third of the changes, and kills it after the second. */
async function restarting(
  { processes, mysql }: Stack,
  dir: string,
  run: Run,
  changes: number,
): Promise<void> {
  let { pid } = mysql;
  for (const [index, signal] of restarts.entries()) {
    const due = ((index + 1) * changes) / (restarts.length + 1);
    while (run.going && run.kept < due) await pause(100);
    process.kill(pid, signal);
    await until('MySQL has ended', () => hasEnded(pid), { pollMs: 100 });
    processes.end(pid);
    ({ pid } = await startMysqlAgain(processes, join(dir, 'mysql'), mysql));
  }
}

function hasEnded(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
}

/** For ever, and on a slow machine none would live long enough to do anything. */
const killRoundsMax = 20;
const faultsMax = 100;
const victims = ['order/tail-binlog', 'order/push-change'].map(resourceName);

/** Now and then all workers of the reader, or of the pusher, at once. */
async function killing({ emulator }: Stack, random: Random, run: Run): Promise<void> {
  for (let round = 0; run.going && round < killRoundsMax; round++) {
    await pause(random.between(2_000, 12_000));
    const victim = victims[random.between(0, victims.length - 1)] ?? '';
    const pids = workersOf(emulator).get(victim) ?? [];
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    run.killed += pids.length;
  }
}

const modes = ['lose_answer', 'refuse', 'error'] as const;

/** The push service errs, and the binlog goes on in another file. */
async function disturbing(stack: Stack, random: Random, run: Run): Promise<void> {
  for (let faults = 0; run.going && faults < faultsMax; faults++) {
    await pause(random.between(1_000, 4_000));
    const mode = modes[random.between(0, modes.length - 1)];
    await fetch(`${stack.endpoints.simulators.singer}/__faults`, {
      method: 'POST',
      body: JSON.stringify({ mode, times: 1 }),
    });
    if (random.happens(0.2)) await asked(stack, 'flush binary logs').catch(() => {});
  }
}

/** It needs a server that answers, which may just have been ended. */
async function changeLast(stack: Stack): Promise<void> {
  const changed = () =>
    asked(
      stack,
      'replace into order_db.`order` (order_id, patient_id, status, changed_by) values (?, 1, ?, ?)',
      [lastOrder, 'PAYING', 'patient'],
    ).then(
      () => true,
      () => false,
    );
  await until('the last order is changed', changed, { pollMs: 500 });
}

const isLastSeen = (stack: Stack): Promise<boolean> =>
  asked(stack, 'select 1 from push_db.order_seen where order_id = ?', [lastOrder]).then(
    (rows) => rows.length > 0,
    () => false,
  );

async function isNoneOpen(stack: Stack): Promise<boolean> {
  const open = "select 1 from push_db.push where state in ('unsent', 'in hand') limit 1";
  return (await asked(stack, open)).length === 0;
}

const State = z.object({
  pushes: z.array(
    z.object({
      push_id: z.string(),
      order_id: z.number(),
      content: z.string(),
      receiver: z.unknown(),
      data: z.unknown().optional(),
    }),
  ),
});

/** What is not as the orders' histories want it, by order. Withheld may be only what is urgent. */
async function differences(stack: Stack, orders: readonly Order[]) {
  const response = await fetch(`${stack.endpoints.simulators.singer}/__state`);
  const { pushes } = State.parse(await response.json());
  const rows = await asked(
    stack,
    'select order_id, scenario, state from push_db.push order by sequence',
  );
  const shown = Map.groupBy(pushes, ({ order_id }) => order_id);
  const written = Map.groupBy(rows, ({ order_id }) => Number(order_id));
  const differing = orders.filter(({ id, expected }) => {
    const states = written.get(id) ?? [];
    const due = expected.filter((_, index) => states[index]?.['state'] === 'sent');
    const seen = (shown.get(id) ?? []).map(({ content, receiver, data }) => ({
      content,
      receiver,
      data,
    }));
    const wanted = due.map(({ content, receiver, data }) => ({ content, receiver, data }));
    return (
      states.length !== expected.length ||
      !isDeepStrictEqual(seen, wanted) ||
      states.some(({ scenario, state }) => !mayEnd(Number(scenario), String(state)))
    );
  });
  const twice = pushes.length - new Set(pushes.map(({ push_id }) => push_id)).size;
  const withheld = rows.filter(({ state }) => state === 'overtaken').length;
  return {
    differences: differing,
    facts: `${pushes.length} pushes shown, ${twice} twice, ${withheld} overtaken, ${differing.length} orders differ${differing[0] ? ` (first: ${differing[0].id})` : ''}`,
  };
}

const urgent = [2, 14];
const withoutNurse = [6, 7, 14];

const mayEnd = (scenario: number, state: string): boolean =>
  state === 'sent' ||
  (state === 'no receiver' && withoutNurse.includes(scenario)) ||
  (['overtaken', 'unknown'].includes(state) && urgent.includes(scenario));
