/**
 * `npm run simulate`: runs the simulation on its own MySQL.
 *
 *   npm run simulate -- [--runs N] [--scenario name] [--from seed]     N swarms of each scenario
 *   npm run simulate -- --scenario name --seed N                       repeats one swarm
 *   npm run simulate -- --scenario name --faults 12:crash,17:lost      repeats one set of faults
 *   npm run simulate -- --crashes EVERY [--scenario name]              every single fault, each EVERY-th pair (0: none)
 *
 * With `--until MS` no run starts after that time (milliseconds since 1970), with `--pair-seconds N` no pair after N
 * seconds of pairs; `--thin N` leaves one in N of the single faults. Prints what was not run.
 */
import './silence-logs.ts';

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { endWithParents, Processes } from '../../local/processes.ts';
import { crashInPairs, crashSingly, newRuns, type Runs, swarms } from './campaigns.ts';
import { type Databases, openDatabases, startDatabase } from './database.ts';
import { type Fault, planned, silencesAt, swarm } from './faults.ts';
import { play, type Scenario, Violation } from './run-scenario.ts';
import { scenarios } from './scenarios/all.ts';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
    scenario: { type: 'string' },
    seed: { type: 'string' },
    faults: { type: 'string' },
    crashes: { type: 'string' },
    thin: { type: 'string', default: '1' },
    until: { type: 'string' },
    'pair-seconds': { type: 'string' },
    /** `swarms` or `crashes`: a few runs of each scenario, until an invariant is broken; the bug bank uses this. */
    hunt: { type: 'string' },
    /** host:port of a running MySQL; the bug bank uses one for all its bugs. */
    mysql: { type: 'string' },
  },
});

let overAtMs = Number(values.until ?? Number.POSITIVE_INFINITY);
const huntSeeds = 100;
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
    await play(databases, scenario, planned(plan(values.faults)), { exactly: true });
  } else if (values.seed !== undefined) {
    runs.count += 1;
    await play(databases, scenario, swarm(Number(values.seed)), { exactly: true });
  } else if (values.crashes !== undefined) {
    const thin = Number(values.thin);
    const singles = await crashSingly(databases, scenario, runs, thin);
    await crashSingly(databases, scenario, runs, thin, silencesAt);
    const every = Number(values.crashes);
    if (values['pair-seconds'])
      overAtMs = Math.min(overAtMs, Date.now() + Number(values['pair-seconds']) * 1000);
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

/** Starts a MySQL, unless one was given. */
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
    const runs = newRuns(() => Date.now() >= overAtMs);
    const began = Date.now();
    const say = (what: string) => {
      const left = runs.left ? `; ${runs.left} runs not played` : '';
      const seconds = (Date.now() - began) / 1000;
      console.log(`${what} ${scenario.name}: ${runs.count} runs, ${seconds} s${left}`);
    };
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
