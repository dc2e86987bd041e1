/** Starts the AWS emulator. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { emulatorPython } from './install.ts';
import type { Processes } from './processes.ts';

const account = '000000000000';
const region = 'us-east-1';

export interface Emulator {
  readonly url: string;
  readonly account: string;
  readonly region: string;
  /** The environment with which a client, such as the CDK CLI, reaches only the emulator. */
  readonly env: Readonly<Record<string, string>>;
  readonly pid: number;
}

/** Returns the configuration of an emulator client with all rights. */
export const clientOptions = ({ url, region }: Emulator) => ({
  endpoint: url,
  region,
  credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
});

/** Starts the AWS emulator with authorisation enabled: a function can do only what its role allows. */
export async function startEmulator(
  processes: Processes,
  dir: string,
  port: number,
): Promise<Emulator> {
  const python = await emulatorPython();
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'package.json'), '{"type":"commonjs"}'); // The emulator's workers are CommonJS; our package is a module.
  const url = `http://localhost:${port}`;
  const launcher = join(import.meta.dirname, 'emulator/launch.py');
  const path = `${dirname(process.execPath)}:${process.env['PATH']}`;
  const options = {
    // An explicit list, because variables of our environment would reach the functions.
    env: {
      PATH: path,
      HOME: dir,
      TMPDIR: dir,
      LANG: 'C.UTF-8',
      GATEWAY_PORT: String(port),
      BIND_HOST: '127.0.0.1',
      MINISTACK_HOST: 'localhost',
      AUTH: 'true',
      PYTHONDONTWRITEBYTECODE: '1',
    },
    cwd: dir,
  };
  const isReady = () =>
    fetch(`${url}/_ministack/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
  const pid = await processes.start('emulator', [python, launcher], isReady, options);
  const env = {
    AWS_ENDPOINT_URL: url,
    AWS_ENDPOINT_URL_S3: url,
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    AWS_REGION: region,
    AWS_DEFAULT_REGION: region,
    AWS_EC2_METADATA_DISABLED: 'true',
  };
  return { url, account, region, env, pid };
}

/** Returns the ids of the processes that currently run functions, by function name. */
export function workersOf({ pid }: Emulator): Map<string, number[]> {
  const children = spawnSync('ps', ['-o', 'pid=', '--ppid', String(pid)], {
    encoding: 'utf8',
  }).stdout;
  const workers = new Map<string, number[]>();
  for (const child of children.trim().split(/\s+/).filter(Boolean).map(Number)) {
    const name = functionOf(child);
    if (name) workers.set(name, [...(workers.get(name) ?? []), child]);
  }
  return workers;
}

function functionOf(pid: number): string | undefined {
  const { stdout } = spawnSync('cat', [`/proc/${pid}/environ`], { encoding: 'utf8' });
  return stdout
    .split('\0')
    .find((line) => line.startsWith('AWS_LAMBDA_FUNCTION_NAME='))
    ?.split('=')[1];
}
