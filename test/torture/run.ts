/**
 * `npm run test:torture [-- part …]`: what takes longer than `npm test` may. Real workers and a real start killed with
 * -9, a transaction of a million rows, the whole bug bank, and two minutes of swarms, single faults and pairs of each
 * scenario. Ends with `N passed, N failed`.
 */
import '../simulation/quiet.ts';

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endWithParents, Processes } from '../../local/processes.ts';
import { table } from '../../local/progress.ts';
import { bugs, type Caught, hunt, pageOf, tableOf } from '../simulation/bug-bank.ts';
import { crashInPairs, crashSingly, swarms } from '../simulation/campaigns.ts';
import { type Databases, openDatabases, startDatabase } from '../simulation/database.ts';
import { planned } from '../simulation/faults.ts';
import { play, type Scenario, Violation } from '../simulation/play.ts';
import { scenarios } from '../simulation/scenarios/all.ts';
import { burstOf } from '../simulation/scenarios/burst.ts';
import { callsOf } from '../simulation/scenarios/calls.ts';
import { chargedCalls } from './call.ts';
import { largeTransaction } from './large.ts';
import { killedReaders } from './order.ts';
import { type Figures, killedConsumers, killedFullRun, killedStart } from './real.ts';

const bankFile = join(import.meta.dirname, '../../docs/bug-bank.md');
const seeds = 100;
/** How far apart the pairs of faults are: all pairs of the broker alone would take hours. */
const everyPair = 25;
const secondsEach = 120;
const callRuns = 100;
const callsPerRun = 1_000;
const runsPerProcess = 10;

const dir = mkdtempSync(join(tmpdir(), 'signalbox-torture-'));
const processes = new Processes(dir);
const counts = { passed: 0, failed: 0 };

async function end(): Promise<never> {
  const awake = setInterval(() => {}, 1000); // Servers that are being ended do not keep a process alive.
  await processes.endAll();
  clearInterval(awake);
  rmSync(dir, { recursive: true, force: true });
  console.log(`${counts.passed} passed, ${counts.failed} failed`);
  process.exit(counts.failed ? 1 : 0);
}

/** One line of the table: how many runs, in how many seconds, and what broke. The seeds of the bug bank come first. */
async function tortured(databases: Databases, scenario: Scenario) {
  const began = Date.now();
  const runs = { count: 0, isOver: () => Date.now() - began > secondsEach * 1000 };
  const row = (result: string) => [
    scenario.name,
    runs.count,
    Math.round((Date.now() - began) / 1000),
    result,
  ];
  try {
    if (scenario.name === 'burst') {
      runs.count += 1;
      await play(databases, scenario, planned([]));
    } else {
      await swarms(databases, scenario, 1, seeds, runs);
      const singles = await crashSingly(databases, scenario, runs);
      await crashInPairs(databases, scenario, singles, runs, everyPair);
    }
    counts.passed += 1;
    return row('held');
  } catch (error) {
    if (!(error instanceof Violation)) throw error;
    counts.failed += 1;
    console.log(error.message);
    return row('BROKEN');
  }
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void end());
endWithParents(() => void end());

function note({ good, title, facts }: Figures): void {
  console.log(`${good ? '✓' : '✗'} ${title}: ${facts}`);
  if (good) counts.passed += 1;
  else counts.failed += 1;
}

/** Each mistake of the bank, two at a time, each lane with a MySQL of its own. */
async function hunted(): Promise<void> {
  const caught: Caught[] = [];
  const waiting = bugs.values();
  const lane = async (_: unknown, number: number) => {
    const server = await startDatabase(processes, join(dir, `bank-${number}`), `bank-${number}`);
    for (const bug of waiting) {
      const one = await hunt(server, bug);
      caught.push(one);
      const facts = `${one.by ?? 'not caught'} after ${one.runs} runs: ${one.why}`;
      note({ good: one.by !== undefined, title: bug, facts });
    }
  };
  await Promise.all(Array.from({ length: 2 }, lane));
  const sorted = caught.toSorted((a, b) => a.bug.localeCompare(b.bug));
  console.log(`${tableOf(sorted)}\n`);
  if (sorted.every(({ by }) => by)) writeFileSync(bankFile, pageOf(sorted));
}

async function played(): Promise<void> {
  const databases = await openDatabases(await startDatabase(processes, join(dir, 'mysql')));
  const rows: (string | number)[][] = [];
  for (const scenario of [
    ...scenarios.filter(({ name, long }) => name !== 'burst' && !long),
    burstOf(10_000, 6_000),
  ]) {
    const row = await tortured(databases, scenario);
    console.log(row.join('  '));
    rows.push(row);
  }
  console.log(table(['scenario', 'runs', 'seconds', 'promises'], rows));
  await databases.close();
}

/** A hundred thousand calls, a thousand to a run; two processes at a time, ten runs each. */
async function booked(): Promise<void> {
  const began = Date.now();
  const waiting = Array.from({ length: callRuns / runsPerProcess }, (_, index) => index).values();
  let held = 0;
  const lane = async () => {
    for (const index of waiting) {
      const output = await simulated(
        ...['--scenario', callsOf(callsPerRun).name, '--runs', String(runsPerProcess)],
        ...['--from', String(index * runsPerProcess + 1)],
      );
      console.log(output.trim());
      if (output.startsWith('✓')) held += runsPerProcess;
    }
  };
  await Promise.all([lane(), lane()]);
  const calls = (held * callsPerRun).toLocaleString('en');
  const seconds = Math.round((Date.now() - began) / 1000);
  note({
    good: held === callRuns,
    title: `${calls} simulated calls`,
    facts: `none lost, none doubled, all books agree to the fen; ${seconds} s`,
  });
}

/** `npm run simulate` with these arguments: what it says. A process plays one scenario at a time. */
async function simulated(...args: string[]): Promise<string> {
  const program = join(import.meta.dirname, '../simulation/simulate.ts');
  const child = spawn(process.execPath, [program, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (data) => {
    output += String(data);
  });
  await new Promise((gone) => child.once('close', gone));
  return output;
}

/** Real processes first, while nothing else runs. */
const parts: Readonly<Record<string, () => Promise<void>>> = {
  start: async () => note(await killedStart(join(dir, 'copy'))),
  consumers: async () => note(await killedConsumers(join(dir, 'stack'), Date.now())),
  'full-run': async () => note(await killedFullRun(join(dir, 'full'))),
  orders: async () => note(await killedReaders(join(dir, 'orders'), Date.now())),
  calls: async () => note(await chargedCalls(join(dir, 'calls'), Date.now())),
  large: async () =>
    note(await largeTransaction(await startDatabase(processes, join(dir, 'large'), 'large'))),
  books: booked,
  bank: hunted,
  scenarios: played,
};

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !parts[name]);
if (unknown.length) {
  console.error(`There is no ${unknown}. There are: ${Object.keys(parts).join(', ')}.`);
  process.exit(2);
}
for (const [name, part] of Object.entries(parts)) {
  if (asked.length && !asked.includes(name)) continue;
  try {
    await part();
  } catch (error) {
    counts.failed += 1;
    console.error(error);
  }
}
await end();
