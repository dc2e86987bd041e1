import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, inject, test } from 'vitest';
import { Processes, until } from '../../local/processes.ts';

const folder = () => mkdtempSync(join(inject('dir'), 'processes-'));

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A zombie is no process that is left: its parent, this machine's init, may be slow to bury it.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** A run of its own that starts two servers, one of which has a child, and prints their ids. */
async function otherRun(dir: string): Promise<{ pid: number; servers: number[] }> {
  const program = `
    import { Processes } from ${JSON.stringify(join(import.meta.dirname, '../../local/processes.ts'))};
    const processes = new Processes(${JSON.stringify(dir)});
    const one = await processes.start('one', ['sleep', '300'], () => true);
    const two = await processes.start('two', ['sh', '-c', 'sleep 301 & wait'], () => true);
    console.log(JSON.stringify([one, two]));
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const line = await new Promise<string>((first) =>
    child.stdout.once('data', (data) => first(String(data))),
  );
  return { pid: child.pid ?? 0, servers: JSON.parse(line) };
}

test('servers end when the run that started them is killed with -9', async () => {
  const { pid, servers } = await otherRun(folder());
  expect(servers.map(lives)).toEqual([true, true]);
  process.kill(pid, 'SIGKILL');
  await until('the watcher has ended both', () => !servers.some(lives));
});

test('a second run beside a live one is refused, after a dead one it cleans up', async () => {
  const dir = folder();
  const { pid, servers } = await otherRun(dir);
  expect(() => new Processes(dir)).toThrow(
    `A stack is running here already (process ${pid}): stop it first.`,
  );
  // As if run and watcher had died together: the list is all that is left.
  const left = spawn('sleep', ['302'], { detached: true, stdio: 'ignore' });
  process.kill(pid, 'SIGKILL');
  await until('the watcher is done', () => !servers.some(lives));
  const list = JSON.parse(readFileSync(join(dir, 'processes.json'), 'utf8'));
  writeFileSync(
    join(dir, 'processes.json'),
    JSON.stringify([list[0], { name: 'left', pid: left.pid, since: '' }]),
  );
  const processes = new Processes(dir);
  expect(lives(left.pid ?? 0)).toBe(true); // Not ours: it began at another time than the list says.
  process.kill(left.pid ?? 0);
  await processes.endAll();
});

test('a server that does not start is named, with the last lines of its log', async () => {
  const processes = new Processes(folder());
  const started = processes.start('broken', ['sh', '-c', 'echo out of luck; exit 3'], () => false);
  await expect(started).rejects.toThrow(/^broken did not start: it ended with 3\.\nout of luck$/);
  await expect(processes.start('absent', ['no-such-program'], () => false)).rejects.toThrow(
    /absent did not start: spawn no-such-program ENOENT/,
  );
  await processes.endAll();
});
