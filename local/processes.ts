/** Starts local servers, and ends them when the process that started them ends. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A started server in its own process group. */
interface ListedProcess {
  readonly name: string;
  readonly pid: number;
  /** The start time by `ps`, because a process id may be reused. */
  readonly since: string;
}

/**
 * The servers of one stack. A file lists them, and a watcher process ends them when this process ends in any way. If
 * the watcher is killed, too, the next start ends the listed servers.
 */
export class Processes {
  readonly #file: string;
  readonly #logs: string;
  readonly #started: ListedProcess[] = [];
  readonly #ends: Promise<unknown>[] = [];

  /** Ends the servers of an earlier run in `dir`. Throws if that run is alive. */
  constructor(dir: string) {
    mkdirSync(dir, { recursive: true });
    this.#file = join(dir, 'processes.json');
    this.#logs = join(dir, 'log');
    const [owner] = readList(this.#file);
    if (owner && isAlive(owner))
      throw new Error(`A stack is running here already (process ${owner.pid}): stop it first.`);
    endListed(this.#file);
    rmSync(this.#logs, { recursive: true, force: true });
    mkdirSync(this.#logs, { recursive: true });
    this.#add('owner', process.pid);
    const watcher = spawn(process.execPath, [join(import.meta.dirname, 'watcher.ts'), this.#file], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    watcher.unref();
    (watcher.stdin as unknown as { unref(): void }).unref();
  }

  /** Starts a server, which logs to `log/<name>.log`. Resolves when `isReady` first returns true. */
  async start(
    name: string,
    [command, ...args]: readonly [string, ...string[]],
    isReady: (pid: number) => Promise<boolean> | boolean,
    { env, cwd }: { env?: NodeJS.ProcessEnv; cwd?: string } = {},
  ): Promise<number> {
    const log = join(this.#logs, `${name}.log`);
    const output = openSync(log, 'a');
    const child = spawn(command, args, {
      ...(env && { env }),
      ...(cwd && { cwd }),
      detached: true,
      stdio: ['pipe', output, output],
    });
    closeSync(output);
    let ended: string | undefined;
    child.once('error', (error) => {
      ended = error.message;
    });
    child.once('exit', (code, signal) => {
      ended ??= `it ended with ${code ?? signal}`;
    });
    if (child.pid) this.#add(name, child.pid);
    this.#ends.push(new Promise((gone) => child.once('exit', gone).once('error', gone)));
    await until(`${name} is ready (see ${log})`, async () => {
      if (ended) throw new Error(`${name} did not start: ${ended}.\n${tailOf(log)}`);
      return await isReady(child.pid ?? 0);
    });
    child.unref();
    return child.pid as number;
  }

  /** Runs a command until it ends, and kills it when this process ends. Throws with its last lines if it fails. */
  async run(
    name: string,
    [command, ...args]: readonly [string, ...string[]],
    { env, cwd }: { env: NodeJS.ProcessEnv; cwd: string },
  ): Promise<void> {
    const log = join(this.#logs, `${name}.log`);
    const output = openSync(log, 'a');
    const child = spawn(command, args, {
      env,
      cwd,
      detached: true,
      stdio: ['ignore', output, output],
    });
    closeSync(output);
    if (child.pid) this.#add(name, child.pid);
    const [code, signal] = await once(child, 'exit');
    this.#forget(child.pid ?? 0);
    if (code !== 0) throw new Error(`${name} ended with ${code ?? signal}:\n${tailOf(log, 40)}`);
  }

  /** Kills all servers. Their data is created again at each start. */
  async endAll(): Promise<void> {
    endListed(this.#file);
    rmSync(this.#file, { force: true });
    await Promise.all(this.#ends); // Killed processes stay in the process table until their exit is awaited.
  }

  /** Ends one server at once; it is not restarted. */
  end(pid: number): void {
    endGroup(pid);
    this.#forget(pid);
  }

  #add(name: string, pid: number): void {
    this.#started.push({ name, pid, since: since(pid) });
    this.#write();
  }

  #forget(pid: number): void {
    const index = this.#started.findIndex((started) => started.pid === pid);
    if (index >= 0) this.#started.splice(index, 1);
    this.#write();
  }

  #write(): void {
    writeFileSync(this.#file, JSON.stringify(this.#started, null, 2));
  }
}

/** Ends every listed process group except that of the list's owner. */
export function endListed(file: string): void {
  for (const started of readList(file).slice(1)) if (isOurs(started)) endGroup(started.pid);
}

function readList(file: string): ListedProcess[] {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as ListedProcess[];
  } catch {
    return []; // There was no earlier run here, or it was killed while it wrote its first line.
  }
}

const ps = (...args: string[]): string => spawnSync('ps', args, { encoding: 'utf8' }).stdout.trim();
const since = (pid: number): string => ps('-o', 'lstart=', '-p', String(pid));
const isAlive = ({ pid, since: began }: ListedProcess): boolean =>
  began !== '' && since(pid) === began;

/**
 * Returns whether a process group is still one of ours. If its leader has ended but other members live, its number is
 * not reused.
 */
const isOurs = (started: ListedProcess): boolean => isAlive(started) || since(started.pid) === '';

function endGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // The group has no more members.
  }
}

const tailOf = (file: string, lines = 15): string =>
  readFileSync(file, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');

/** Waits until `condition` holds. Throws with `what` it waited for after the timeout. */
export async function until(
  what: string,
  condition: () => Promise<boolean> | boolean,
  { timeoutMs = 60_000, pollMs = 20 } = {},
): Promise<void> {
  const end = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > end)
      throw new Error(`Timed out after ${timeoutMs / 1000} s waiting until ${what}.`);
    await new Promise((done) => setTimeout(done, pollMs));
  }
}

const parentsMax = 4;

/**
 * Calls `gone` when one of the processes that started this one (npm, its shell, bootstrap.mjs) is killed. They cannot
 * report it themselves, and without this check a stack would outlive its `npm start`.
 */
export function endWithParents(gone: () => void): void {
  const parents: ListedProcess[] = [];
  for (let pid = process.ppid; parents.length < parentsMax && pid > 1; ) {
    const [parent = '', ...command] = ps('-o', 'ppid=,args=', '-p', String(pid)).split(/\s+/);
    if (!/npm|bootstrap\.mjs/.test(command.join(' '))) break;
    parents.push({ name: 'parent', pid, since: since(pid) });
    pid = Number(parent);
  }
  setInterval(() => {
    if (!parents.every(isAlive)) gone();
  }, 1000).unref();
}
