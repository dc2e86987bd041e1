/**
 * Applies each patch of bugs/, a known kind of mistake, to a copy of the tree, where the simulation must find it. A
 * mistake that it does not find there, it would not find in a change of ours either.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, globSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { table } from '../../local/progress.ts';
import type { Patch } from './bank-choice.ts';
import type { Databases } from './database.ts';
import { simulated } from './lanes.ts';

const root = join(import.meta.dirname, '../..');
const runMsMax = 240_000;
const copied = ['lib', 'local', 'test', 'infra', 'migrations', 'config', 'package.json'] as const;

export interface Caught {
  readonly bug: string;
  /** The scenario that found the bug; undefined if none did. */
  readonly by: string | undefined;
  readonly runs: number;
  readonly why: string;
}

const fileOf = (bug: string) => join(import.meta.dirname, 'bugs', `${bug}.patch`);
const scenarioOf = (bug: string): string =>
  readFileSync(fileOf(bug), 'utf8').match(/^scenario: ([\w-]+)\n/)?.[1] ?? '';

export const bugs: readonly string[] = globSync('*.patch', {
  cwd: join(import.meta.dirname, 'bugs'),
})
  .map((file) => basename(file, '.patch'))
  .toSorted();

export const patches: readonly Patch[] = bugs.map((bug) => {
  const paths = readFileSync(fileOf(bug), 'utf8').matchAll(/^\+\+\+ b\/lib\/([^/]+)\//gm);
  return { bug, domains: [...new Set([...paths].map(([, domain = '']) => domain))] };
});

/**
 * Applies the patch to a copy of the tree and runs the simulation there, on a running MySQL: first seeds of the scenario
 * that the first line of the patch names, then crashes.
 */
export async function hunt(
  server: Databases['server'],
  bug: string,
  untilMs = Number.POSITIVE_INFINITY,
): Promise<Caught> {
  const scenario = scenarioOf(bug);
  // Always the same folder, because Node's compile cache keeps every path.
  const copy = join(root, '.local/bugs', bug);
  rmSync(copy, { recursive: true, force: true });
  try {
    for (const name of copied) cpSync(join(root, name), join(copy, name), { recursive: true });
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
    mkdirSync(join(copy, '.local'));
    const args = ['-p1', '--fuzz=3', '-i', fileOf(bug)];
    const applied = spawnSync('patch', args, { cwd: copy, encoding: 'utf8' });
    if (applied.status !== 0) throw new Error(`${bug} does not apply:\n${applied.stdout}`);
    const look = (what: 'swarms' | 'crashes') =>
      simulated(server, ['--hunt', what, '--scenario', scenario], {
        cwd: copy,
        msMax: Math.max(0, Math.min(runMsMax, untilMs - Date.now())),
      });
    const swarms = await look('swarms');
    const crashes = swarms.includes('✗') ? '' : await look('crashes');
    return caughtIn(bug, swarms + crashes);
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

/** Parses `✗ broker: 17 runs, 2.1 s` and the broken invariant on the next line. */
function caughtIn(bug: string, output: string): Caught {
  const lines = output.split('\n');
  const found = lines.findIndex((line) => line.startsWith('✗'));
  const counts = [...output.matchAll(/^[✓✗] [\w-]+: (\d+) runs/gm)].map(([, count]) =>
    Number(count),
  );
  const runs = counts.reduce((sum, count) => sum + count, 0);
  const [, by] = lines[found]?.match(/^✗ ([\w-]+):/) ?? [];
  return { bug, by, runs, why: lines[found + 1]?.slice(0, 90) ?? output.trim().slice(-200) };
}

export const tableOf = (caught: readonly Caught[]): string =>
  table(
    ['bug', 'caught by', 'runs', 'what it said'],
    caught.map(({ bug, by, runs, why }) => [bug, by ?? 'NOT CAUGHT', runs, why]),
  );

/** Returns docs/bug-bank.md, which `npm run test:torture` writes if every bug was found. */
export const pageOf = (caught: readonly Caught[]): string => `# Bug bank

Known mistakes of such systems. \`npm run test:torture\` makes each in a copy of the tree, where the simulation must find it; in the tree as it is it plays the same scenarios and seeds, and more of them, and must find nothing. It wrote this table.

| mistake | found by | after runs | what it said |
| --- | --- | ---: | --- |
${caught.map(({ bug, by, runs, why }) => `| [${bug.replaceAll('-', ' ')}](../test/simulation/bugs/${bug}.patch) | ${by} | ${runs} | ${why.replaceAll('|', '\\|')} |`).join('\n')}
`;
