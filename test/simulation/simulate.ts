/**
 * `npm run simulate`: the simulation on a MySQL of its own.
 *
 *   npm run simulate -- [--runs N] [--scenario name] [--from seed]     N swarms of each scenario
 *   npm run simulate -- --scenario name --seed N                       one swarm again
 *   npm run simulate -- --scenario name --faults 12:crash,17:lost      one set of faults again
 *   npm run simulate -- --crashes EVERY [--scenario name]              every single fault, each EVERY-th pair (0: none)
 */
import './quiet.ts';

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { endWithParents, Processes } from '../../local/processes.ts';
import { crashInPairs, crashSingly, type Runs, swarms } from './campaigns.ts';
import { type Databases, openDatabases, startDatabase } from './database.ts';
import { type Fault, planned, silencesAt, swarm } from './faults.ts';
import { play, type Scenario, Violation } from './play.ts';
import { scenarios } from './scenarios/all.ts';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
    scenario: { type: 'string' },
    seed: { type: 'string' },
    faults: { type: 'string' },
    crashes: { type: 'string' },
    /** `swarms` or `crashes`: a few of each scenario, until a promise is broken. So the bug bank looks. */
    hunt: { type: 'string' },
    /** host:port of a MySQL that is there already; the bug bank has one for all its bugs. */
    mysql: { type: 'string' },
  },
});

const huntSeeds = 40;
const huntEvery = 5;

const plan = (text: string) =>
  text === 'none'
    ? []
    : text.split(',').map((one) => {
        const [index, fault] = one.split(':');
        return { index: Number(index), fault: fault as Fault };
      });

async function simulate(databases: Databases, scenario: Scenario, runs: Runs): Promise<void> {
  if (values.hunt === 'swarms') {
    await swarms(databases, scenario, 1, huntSeeds, runs);
  } else if (values.hunt === 'crashes') {
    await crashSingly(databases, scenario, runs, huntEvery);
    await crashSingly(databases, scenario, runs, huntEvery, silencesAt);
  } else if (values.faults !== undefined) {
    runs.count += 1;
    await play(databases, scenario, planned(plan(values.faults)));
  } else if (values.seed !== undefined) {
    runs.count += 1;
    await play(databases, scenario, swarm(Number(values.seed)));
  } else if (values.crashes !== undefined) {
    const singles = await crashSingly(databases, scenario, runs);
    await crashSingly(databases, scenario, runs, 1, silencesAt);
    const every = Number(values.crashes);
    if (every) await crashInPairs(databases, scenario, singles, runs, every);
  } else await swarms(databases, scenario, Number(values.from), Number(values.runs), runs);
}

const dir = mkdtempSync(join(tmpdir(), 'signalbox-simulation-'));
let processes: Processes | undefined;

async function end(status: number): Promise<never> {
  const awake = setInterval(() => {}, 1000); // Servers that are being ended do not keep a process alive.
  await processes?.endAll();
  clearInterval(awake);
  rmSync(dir, { recursive: true, force: true });
  process.exit(status);
}

/** A MySQL of its own, unless one was named. */
async function serverOf(): Promise<Databases['server']> {
  const [host, port] = values.mysql?.split(':') ?? [];
  if (host) return { host, port: Number(port) };
  processes = new Processes(dir);
  return await startDatabase(processes, join(dir, 'mysql'));
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => void end(1));
endWithParents(() => void end(1));

try {
  const databases = await openDatabases(await serverOf());
  let failed = 0;
  for (const scenario of scenarios) {
    if (values.scenario ? values.scenario !== scenario.name : scenario.long) continue;
    const runs = { count: 0 };
    const began = Date.now();
    const say = (what: string) =>
      console.log(`${what} ${scenario.name}: ${runs.count} runs, ${(Date.now() - began) / 1000} s`);
    try {
      await simulate(databases, scenario, runs);
      say('✓');
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      failed += 1;
      say('✗');
      console.log(error.message);
      if (values.hunt) break;
    }
  }
  await databases.close();
  await end(failed ? 1 : 0);
} catch (error) {
  console.error(error);
  await end(2);
}
