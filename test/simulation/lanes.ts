import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Processes } from '../../local/processes.ts';
import { type Databases, startDatabase } from './database.ts';

const root = join(import.meta.dirname, '../..');
const lanes = 2;

/**
 * Works through `jobs` in two parallel lanes. Each lane has its own MySQL, started in `dir` and named after `name`,
 * because a scenario needs a server that no other process uses. A job that throws does not end the others; all errors
 * are thrown together at the end.
 */
export async function inLanes<Job>(
  processes: Processes,
  { dir, name }: { readonly dir: string; readonly name: string },
  jobs: Iterable<Job>,
  work: (server: Databases['server'], job: Job) => Promise<void>,
): Promise<void> {
  const waiting = Iterator.from(jobs);
  const failures: unknown[] = [];
  const attempt = (task: () => Promise<void>) =>
    task().catch((error: unknown) => void failures.push(error));
  const lane = (_: unknown, number: number) =>
    attempt(async () => {
      const own = `${name}-${number}`;
      const server = await startDatabase(processes, join(dir, own), own);
      for (const job of waiting) await attempt(() => work(server, job));
    });
  await Promise.all(Array.from({ length: lanes }, lane));
  if (failures.length) throw new Error(failures.map(String).join('\n'));
}

/** Runs test/simulation/simulate.ts of the tree `cwd` on `server` and returns all that it prints. */
export async function simulated(
  { host, port }: Databases['server'],
  args: readonly string[],
  { cwd = root, msMax = Number.POSITIVE_INFINITY } = {},
): Promise<string> {
  const program = join(cwd, 'test/simulation/simulate.ts');
  const child = spawn(process.execPath, [program, '--mysql', `${host}:${port}`, ...args], {
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (data) => {
      output += String(data);
    });
  const tooLong = Number.isFinite(msMax) && setTimeout(() => child.kill('SIGKILL'), msMax);
  await new Promise((gone) => child.once('close', gone));
  if (tooLong) clearTimeout(tooLong);
  return output;
}

/** The values of a line such as `✓ broker: 17 runs, 2.1 s; 3 runs not played`. */
export interface Outcome {
  readonly held: boolean;
  readonly runs: number;
  readonly seconds: number;
  readonly left: number;
  /** The broken invariant and how to repeat it, or why the process failed. */
  readonly why: string;
}

const line = /^([✓✗]) [\w-]+: (\d+) runs, ([\d.]+) s(?:; (\d+) runs not played)?$/m;

export function outcomeIn(output: string): Outcome {
  const [text, mark, runs, seconds, left] = output.match(line) ?? [];
  return {
    held: mark === '✓',
    runs: Number(runs ?? 0),
    seconds: Number(seconds ?? 0),
    left: Number(left ?? 0),
    why: mark === '✓' ? '' : output.replace(text ?? '', '').trim(),
  };
}
