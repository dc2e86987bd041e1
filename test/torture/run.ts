/**
 * `npm run test:torture`: what takes longer than `npm test` may. Real workers and a real start killed with -9, every
 * single fault, many pairs and swarms of each scenario, and the whole bug bank. Ends with `N passed, N failed`.
 */
import '../simulation/quiet.ts';

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endWithParents, Processes } from '../../local/processes.ts';
import { table } from '../../local/progress.ts';
import {
  bugs,
  type Caught,
  hunt,
  huntNothing,
  pageOf,
  scenariosOfBugs,
  tableOf,
} from '../simulation/bug-bank.ts';
import { crashInPairs, crashSingly, swarms } from '../simulation/campaigns.ts';
import { type Databases, openDatabases, startDatabase } from '../simulation/database.ts';
import { planned } from '../simulation/faults.ts';
import { play, type Scenario, Violation } from '../simulation/play.ts';
import { scenarios } from '../simulation/scenarios/all.ts';
import { burstOf } from '../simulation/scenarios/burst.ts';
import { chargedCalls } from './call.ts';
import { largeTransaction } from './large.ts';
import { killedReaders } from './order.ts';
import { type Figures, killedConsumers, killedFullRun, killedStart } from './real.ts';

const bankFile = join(import.meta.dirname, '../../docs/bug-bank.md');
const seeds = 100;
/** How far apart the pairs of faults are: all pairs of the broker alone would take hours. */
const everyPair = 25;

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

/** One line of the table: how many runs, in how many seconds, and what broke. */
async function tortured(databases: Databases, scenario: Scenario) {
  const runs = { count: 0 };
  const began = Date.now();
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
    } else if (scenario.name.startsWith('claims'))
      await swarms(databases, scenario, 1, Math.ceil(seeds / 5), runs);
    else {
      const singles = await crashSingly(databases, scenario, runs);
      await crashInPairs(databases, scenario, singles, runs, everyPair);
      await swarms(databases, scenario, 1, seeds, runs);
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

/** Real processes first, while nothing else runs. */
async function real(): Promise<void> {
  for (const one of [
    await killedStart(join(dir, 'copy')),
    await killedConsumers(join(dir, 'stack'), Date.now()),
    await killedFullRun(join(dir, 'full')),
    await killedReaders(join(dir, 'orders'), Date.now()),
    await chargedCalls(join(dir, 'calls'), Date.now()),
  ])
    note(one);
}

function note({ good, title, facts }: Figures): void {
  console.log(`${good ? '✓' : '✗'} ${title}: ${facts}`);
  if (good) counts.passed += 1;
  else counts.failed += 1;
}

try {
  await real();
  const server = await startDatabase(processes, join(dir, 'mysql'));
  note(await largeTransaction(server));
  const caught: Caught[] = [];
  for (const scenario of scenariosOfBugs()) {
    const { by, runs, why } = await huntNothing(server, scenario);
    console.log(
      `${by ? '✗' : '✓'} ${scenario} without a mistake: ${by ? why : 'nothing'} in ${runs} runs`,
    );
    if (by) counts.failed += 1;
    else counts.passed += 1;
  }
  for (const bug of bugs) {
    const one = await hunt(server, bug);
    caught.push(one);
    console.log(`${one.by ? '✓' : '✗'} ${bug}: ${one.by ?? 'not caught'} after ${one.runs} runs`);
    if (one.by) counts.passed += 1;
    else counts.failed += 1;
  }
  console.log(`${tableOf(caught)}\n`);
  if (caught.every(({ by }) => by)) writeFileSync(bankFile, pageOf(caught));
  const databases = await openDatabases(server);
  const rows: (string | number)[][] = [];
  for (const scenario of [
    ...scenarios.filter(({ name }) => name !== 'burst'),
    burstOf(10_000, 6_000),
  ])
    rows.push(await tortured(databases, scenario));
  console.log(table(['scenario', 'runs', 'seconds', 'promises'], rows));
  await databases.close();
} catch (error) {
  counts.failed += 1;
  console.error(error);
}
await end();
