import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Processes } from '../../local/processes.ts';
import { type Databases, startDatabase } from './database.ts';

const root = join(import.meta.dirname, '../..');
const lanes = 2;

/**
 * Works through `jobs` in two lanes side by side. Each lane has a MySQL of its own, started in `dir` and named after
 * `name`, because a process plays one scenario at a time on a server that nobody else uses. A job that throws does not
 * end the others: all that failed is thrown at the end.
 */
export async function inLanes<Job>(
  processes: Processes,
  { dir, name }: { readonly dir: string; readonly name: string },
  jobs: Iterable<Job>,
  work: (server: Databases['server'], job: Job) => Promise<void>,
): Promise<void> {
  const waiting = Iterator.from(jobs);
  const failures: unknown[] = [];
  const attempt = (what: () => Promise<void>) =>
    what().catch((error: unknown) => void failures.push(error));
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

/** What the line `✓ broker: 17 runs, 2.1 s; 3 runs not played` says. */
export interface Outcome {
  readonly held: boolean;
  readonly runs: number;
  readonly seconds: number;
  readonly left: number;
  /** The broken promise and how to replay it, or why the process failed. */
  readonly why: string;
}

const line = /^([✓✗]) [\w-]+: (\d+) runs, ([\d.]+) s(?:; (\d+) runs not played)?$/m;

export function outcomeIn(output: string): Outcome {
  const [said, mark, runs, seconds, left] = output.match(line) ?? [];
  return {
    held: mark === '✓',
    runs: Number(runs ?? 0),
    seconds: Number(seconds ?? 0),
    left: Number(left ?? 0),
    why: mark === '✓' ? '' : output.replace(said ?? '', '').trim(),
  };
}
