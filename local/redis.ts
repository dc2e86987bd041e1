/** Starts a local Redis Cluster. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { freeRange } from './ports.ts';
import { type Processes, until } from './processes.ts';

const host = '127.0.0.1';
export const password = 'redis-local';

const firstPort = 6101;
const nodeCount = 6;
const attemptsMax = 5;

/**
 * Starts three masters with one replica each on six consecutive ports: the requested ones, or 6101 to 6106, or others.
 */
export async function startRedisCluster(
  processes: Processes,
  dir: string,
  asked: number | undefined,
): Promise<string[]> {
  for (let attempt = 1; ; attempt++) {
    const first = await freeRange('the Redis cluster', nodeCount, firstPort, asked);
    try {
      return await startOn(
        processes,
        dir,
        Array.from({ length: nodeCount }, (_, index) => first + index),
      );
    } catch (error) {
      // Another stack that starts now may have taken the ports since they were checked.
      if (asked || attempt === attemptsMax) throw error;
    }
  }
}

async function startOn(
  processes: Processes,
  dir: string,
  ports: readonly number[],
): Promise<string[]> {
  rmSync(dir, { recursive: true, force: true });
  const starts = await Promise.allSettled(
    ports.map((port) => startNode(processes, join(dir, String(port)), port)),
  );
  const failed = starts.find((start) => start.status === 'rejected');
  if (failed) {
    for (const start of starts) if (start.status === 'fulfilled') processes.end(start.value);
    throw failed.reason;
  }
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

async function startNode(processes: Processes, dir: string, port: number): Promise<number> {
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
  // The answer must come from this process, not from another stack's node on the same port.
  const isIt = (pid: number) =>
    ask(port, async (redis) => (await redis.info('server')).includes(`process_id:${pid}\r`), true);
  return await processes.start(`redis-${port}`, ['redis-server', file], isIt);
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
  redis.on('error', () => {}); // The node is not up yet; the caller retries.
  try {
    await redis.connect();
    return (await question(redis)) === wanted;
  } catch {
    return false;
  } finally {
    redis.disconnect();
  }
}
