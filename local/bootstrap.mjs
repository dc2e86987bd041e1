// Runs a TypeScript program of this project on a machine that may have nothing but Node 20 and npm:
//   node local/bootstrap.mjs local/start.ts [arguments]
// It installs the packages of the lock file when they are not those in node_modules, then hands over to Node 24.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

const root = join(import.meta.dirname, '..');
const bin = join(root, 'node_modules/.bin');
const marker = join(root, 'node_modules/.installed');
const lock = createHash('sha256')
  .update(readFileSync(join(root, 'package-lock.json')))
  .digest('hex');

// Not `npm ci`: that refuses a lock file in which an optional package of another system is not listed.
if (!existsSync(marker) || readFileSync(marker, 'utf8') !== lock) {
  console.log('Installing npm packages (once; about a minute) …');
  const { status } = spawnSync(
    'npm',
    ['install', '--no-save', '--include=dev', '--include=optional', '--loglevel=error'],
    {
      cwd: root,
      stdio: 'inherit',
    },
  );
  if (status !== 0) process.exit(status ?? 1);
  writeFileSync(marker, lock);
}

const installed = join(bin, 'node');
const node = existsSync(installed) ? installed : process.execPath;
const major = Number(process.versions.node.split('.')[0]);
if (node === process.execPath && major < 24) {
  console.error(
    `Node 24 is needed; npm has none for ${process.platform}-${process.arch}: install it and try again.`,
  );
  process.exit(1);
}

const child = spawn(node, process.argv.slice(2), {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}` },
});
// Ctrl-C reaches the child by itself; a `kill` of this process is passed on. Either way the child ends first.
process.on('SIGINT', () => {});
for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 143)));
