import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { type Processes, until } from './processes.ts';

const host = '127.0.0.1';
export const password = 'redis-local';

/** Three masters with a replica each, on six neighbouring ports. */
export async function startRedisCluster(
  processes: Processes,
  dir: string,
  firstPort: number,
): Promise<string[]> {
  rmSync(dir, { recursive: true, force: true });
  const ports = Array.from({ length: 6 }, (_, index) => firstPort + index);
  await Promise.all(ports.map((port) => startNode(processes, join(dir, String(port)), port)));
  const nodes = ports.map((port) => `${host}:${port}`);
  const auth = ['--no-auth-warning', '-a', password];
  const create = ['--cluster', 'create', ...nodes, '--cluster-replicas', '1', '--cluster-yes'];
  const { status, stdout, stderr } = spawnSync('redis-cli', [...auth, ...create], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`The Redis cluster was not made: ${stdout}${stderr}`);
  await Promise.all(
    ports.map((port) => until(`Redis node ${port} sees the whole cluster`, () => isWhole(port))),
  );
  return nodes;
}

async function startNode(processes: Processes, dir: string, port: number): Promise<void> {
  mkdirSync(dir, { recursive: true });
  const options = {
    port,
    bind: host,
    dir,
    'cluster-enabled': 'yes',
    'cluster-config-file': 'nodes.conf',
    'cluster-node-timeout': 2000,
    'cluster-require-full-coverage': 'no',
    'cluster-announce-ip': host,
    requirepass: password,
    masterauth: password,
    appendonly: 'no',
    save: '""',
    'repl-diskless-sync-delay': 0,
    maxmemory: '256mb',
    'maxmemory-policy': 'allkeys-lru',
    daemonize: 'no',
  };
  const file = join(dir, 'redis.conf');
  writeFileSync(
    file,
    Object.entries(options)
      .map((entry) => entry.join(' '))
      .join('\n'),
  );
  await processes.start(`redis-${port}`, ['redis-server', file], () =>
    ask(port, (redis) => redis.ping(), 'PONG'),
  );
}

const isWhole = (port: number): Promise<boolean> =>
  ask(
    port,
    async (redis) => /cluster_state:ok/.test(String(await redis.call('CLUSTER', 'INFO'))),
    true,
  );

async function ask<Answer>(
  port: number,
  question: (redis: Redis) => Promise<Answer>,
  wanted: Answer,
): Promise<boolean> {
  const redis = new Redis({ host, port, password, lazyConnect: true, retryStrategy: () => null });
  redis.on('error', () => {}); // Not up yet: asked again.
  try {
    await redis.connect();
    return (await question(redis)) === wanted;
  } catch {
    return false;
  } finally {
    redis.disconnect();
  }
}
