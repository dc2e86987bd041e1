/**
 * `npm run test:full [-- --base REV] [--minutes N]`: what is run before a change is called done. `npm test`, then every
 * single fault of every scenario, the seeds of a thousand calls that `npm test` leaves out, 200 swarms of every
 * scenario, and patches of the bug bank: those of the domains that differ from the merge base with REV (default
 * HEAD~1), and a third of the others, chosen by the commit's hash (test/simulation/bank-choice.ts says how). Two lanes
 * play side by side. After 35 minutes, or N, no run starts, and the parts that were not played whole are listed; they
 * count neither as passed nor as failed. Ends with `N passed, N failed`.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { endWithParents, Processes } from '../local/processes.ts';
import { choosePatches } from './simulation/bank-choice.ts';
import { hunt, patches } from './simulation/bug-bank.ts';
import type { Databases } from './simulation/database.ts';
import { inLanes } from './simulation/lanes.ts';
import {
  everySingleFault,
  longScenarios,
  type Part,
  playPart,
  swarmHalves,
} from './simulation/parts.ts';
import { newTally } from './support/tally.ts';

const minutesMax = 35;
const root = join(import.meta.dirname, '..');
const { values } = parseArgs({
  options: {
    base: { type: 'string', default: 'HEAD~1' },
    minutes: { type: 'string', default: String(minutesMax) },
  },
});
const untilMs = Date.now() + Number(values.minutes) * 60_000;
const isOver = () => Date.now() >= untilMs;

const dir = mkdtempSync(join(tmpdir(), 'signalbox-full-'));
const processes = new Processes(dir);
const tally = newTally();
const notPlayed: string[] = [];
let tests: ChildProcess | undefined;

async function end(): Promise<never> {
  if (tests?.pid) process.kill(-tests.pid, 'SIGTERM');
  const awake = setInterval(() => {}, 1000); // Servers that are being ended do not keep a process alive.
  await processes.endAll();
  clearInterval(awake);
  rmSync(dir, { recursive: true, force: true });
  process.exit(tally.conclude());
}

function interrupt(why: string): void {
  tally.note({ good: false, title: 'test:full', facts: why });
  void end();
}

async function runTests(): Promise<void> {
  tests = spawn(process.execPath, [join(root, 'test/run.ts')], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true, // A group of its own: what it has started ends with it.
  });
  let output = '';
  tests.stdout?.on('data', (data) => {
    output += String(data);
    process.stdout.write(data);
  });
  const status = await new Promise((gone) => tests?.once('close', gone));
  tests = undefined;
  const [, passed, failed] = output.trimEnd().match(/^(\d+) passed, (\d+) failed$/m) ?? [];
  tally.add(Number(passed ?? 0), Number(failed ?? 1));
  if (status !== 0 && failed === '0')
    tally.note({ good: false, title: 'npm test', facts: `ended with ${status}` });
}

function git(...args: string[]): string | undefined {
  const { status, stdout } = spawnSync('git', args, { cwd: root, encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

/** The paths that differ from the merge base in the working tree; undefined where Git does not know the base. */
function changedPaths(): string[] | undefined {
  const base = git('merge-base', values.base, 'HEAD');
  if (base === undefined) return undefined;
  const changed = git('diff', '--name-only', base);
  const added = git('ls-files', '--others', '--exclude-standard');
  return `${changed}\n${added}`.split('\n');
}

type Job = (server: Databases['server']) => Promise<void>;

const played =
  (part: Part): Job =>
  async (server) => {
    if (isOver()) return void notPlayed.push(part.title);
    const { held, runs, seconds, left, why } = await playPart(server, part, [
      ...['--until', String(untilMs)],
    ]);
    const facts = `${runs} runs, ${seconds} s`;
    if (!held) tally.note({ good: false, title: part.title, facts: `${facts}\n${why}` });
    else if (left) notPlayed.push(`${part.title}, the last ${left} of ${runs + left} runs`);
    else tally.note({ good: true, title: part.title, facts });
  };

const hunted =
  (bug: string): Job =>
  async (server) => {
    const title = `known mistake ${bug}`;
    if (isOver()) return void notPlayed.push(title);
    const { by, runs, why } = await hunt(server, bug, untilMs);
    if (!by && isOver()) return void notPlayed.push(title);
    const facts = `${by ? `found by ${by}` : 'not found'} after ${runs} runs: ${why}`;
    tally.note({ good: by !== undefined, title, facts });
  };

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => interrupt(signal));
endWithParents(() => interrupt('its parent is gone'));

try {
  await runTests();
  const [firstSwarms = [], lastSwarms = []] = swarmHalves;
  const bugs = choosePatches(patches, changedPaths(), git('rev-parse', 'HEAD') ?? '');
  const jobs = [
    ...[...everySingleFault, ...longScenarios, ...firstSwarms].map(played),
    ...bugs.map(hunted),
    ...lastSwarms.map(played),
  ];
  await inLanes(processes, { dir, name: 'full' }, jobs, (server, job) => job(server));
} catch (error) {
  tally.note({ good: false, title: 'test:full', facts: String(error) });
}
const left = notPlayed.length;
if (left) console.log(`${left} parts were not played whole:`);
for (const title of notPlayed) console.log(`  ${title}`);
await end();
