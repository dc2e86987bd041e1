/**
 * `npm run test:torture [-- part …]`: what takes longer than `npm test` may. Real workers and a real start killed with
 * -9, a transaction of a million rows, a hundred thousand calls, every mutation of the modules without I/O, the whole
 * bug bank, and of each scenario what `npm run test:full` plays and two minutes of pairs of faults. Ends with
 * `N passed, N failed`.
 */
import '../simulation/silence-logs.ts';

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endWithParents, Processes } from '../../local/processes.ts';
import { table } from '../../local/progress.ts';
import { mutants } from '../mutants/mutants.ts';
import { bugs, type Caught, hunt, pageOf, tableOf } from '../simulation/bug-bank.ts';
import { openDatabases, startDatabase } from '../simulation/database.ts';
import { planned } from '../simulation/faults.ts';
import { inLanes, outcomeIn, simulated } from '../simulation/lanes.ts';
import { everySingleFault, playPart, swarmHalves } from '../simulation/parts.ts';
import { play } from '../simulation/run-scenario.ts';
import { burstOf } from '../simulation/scenarios/burst.ts';
import { callsOf } from '../simulation/scenarios/calls.ts';
import { newTally } from '../support/tally.ts';
import { chargedCalls } from './call.ts';
import { largeTransaction } from './large.ts';
import { killedReaders } from './order.ts';
import { killedConsumers, killedFullRun, killedStart } from './real.ts';

const bankFile = join(import.meta.dirname, '../../docs/bug-bank.md');
/** How far apart the pairs of faults are: all pairs of the broker alone would take hours. */
const everyPair = 25;
const pairSeconds = 120;
const callRuns = 100;
const callsPerRun = 1_000;
const runsPerProcess = 10;

const dir = mkdtempSync(join(tmpdir(), 'signalbox-torture-'));
const processes = new Processes(dir);
const { note, conclude } = newTally();

async function end(): Promise<never> {
  const awake = setInterval(() => {}, 1000); // Servers that are being ended do not keep a process alive.
  await processes.endAll();
  clearInterval(awake);
  rmSync(dir, { recursive: true, force: true });
  process.exit(conclude());
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void end());
endWithParents(() => void end());

/** Each mistake of the bank, two at a time, each lane with a MySQL of its own. */
async function hunted(): Promise<void> {
  const caught: Caught[] = [];
  await inLanes(processes, { dir, name: 'bank' }, bugs, async (server, bug) => {
    const one = await hunt(server, bug);
    caught.push(one);
    const facts = `${one.by ?? 'not caught'} after ${one.runs} runs: ${one.why}`;
    note({ good: one.by !== undefined, title: bug, facts });
  });
  const sorted = caught.toSorted((a, b) => a.bug.localeCompare(b.bug));
  console.log(`${tableOf(sorted)}\n`);
  if (sorted.every(({ by }) => by)) writeFileSync(bankFile, pageOf(sorted));
}

/** What `npm run test:full` plays of each scenario, two minutes of pairs of faults as well, and a large burst. */
async function played(): Promise<void> {
  const rows: (string | number)[][] = [];
  const pairs = everySingleFault.map(({ title, args }) => ({
    title: `${title}, and pairs`,
    args: [...args, '--crashes', String(everyPair), '--pair-seconds', String(pairSeconds)],
  }));
  const parts = [...pairs, ...swarmHalves.flat()];
  await inLanes(processes, { dir, name: 'scenarios' }, parts, async (server, part) => {
    const { held, runs, seconds, why } = await playPart(server, part);
    note({ good: held, title: part.title, facts: `${runs} runs, ${seconds} s ${why}` });
    rows.push([part.title, runs, Math.round(seconds), held ? 'held' : 'BROKEN']);
  });
  console.log(table(['scenario', 'runs', 'seconds', 'promises'], rows));
  await burst();
}

async function burst(): Promise<void> {
  const databases = await openDatabases(await startDatabase(processes, join(dir, 'mysql')));
  const began = Date.now();
  await play(databases, burstOf(10_000, 6_000), planned([]));
  await databases.close();
  const facts = `without a burst; ${Math.round((Date.now() - began) / 1000)} s`;
  note({ good: true, title: '10,000 messages that fall due together', facts });
}

/** A hundred thousand calls, a thousand to a run; two processes at a time, ten runs each. */
async function booked(): Promise<void> {
  const began = Date.now();
  const firstSeeds = Array.from(
    { length: callRuns / runsPerProcess },
    (_, index) => index * runsPerProcess + 1,
  );
  let held = 0;
  await inLanes(processes, { dir, name: 'books' }, firstSeeds, async (server, from) => {
    const output = await simulated(server, [
      ...['--scenario', callsOf(callsPerRun).name, '--runs', String(runsPerProcess)],
      ...['--from', String(from)],
    ]);
    console.log(output.trim());
    if (outcomeIn(output).held) held += runsPerProcess;
  });
  const calls = (held * callsPerRun).toLocaleString('en');
  const seconds = Math.round((Date.now() - began) / 1000);
  note({
    good: held === callRuns,
    title: `${calls} simulated calls`,
    facts: `none lost, none doubled, all books agree to the fen; ${seconds} s`,
  });
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
  mutants: async () => note(await mutants()),
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
    note({ good: false, title: name, facts: String(error) });
  }
}
await end();
