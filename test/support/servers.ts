/** The servers of a test run: `setup` is called once; each server starts when a test file first asks for it. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { PutParameterCommand, SSMClient } from '@aws-sdk/client-ssm';
import type { TestProject } from 'vitest/node';
import { documents } from '../../infra/constructs/documents.ts';
import { settingsName } from '../../infra/constructs/names.ts';
import {
  busVariable,
  oidcVariables,
  type SecretName,
  secretVariable,
  settingsVariable,
} from '../../lib/platform/names.ts';
import { clientOptions, type Emulator, startEmulator } from '../../local/emulator.ts';
import { installDebianPackages } from '../../local/install.ts';
import { type Mysql, startMysql } from '../../local/mysql.ts';
import { freePort } from '../../local/ports.ts';
import { Processes } from '../../local/processes.ts';
import { progressOn } from '../../local/progress.ts';
import { root } from '../../local/root.ts';
import { createSecrets } from '../../local/secrets.ts';
import {
  addressesOf,
  type Running,
  type SimulatorName,
  startSimulators,
  urlsOf,
} from '../../local/simulators/all.ts';
import { type Tokens, tokensFrom } from '../../local/simulators/identity.ts';
import { deployAmong, type Endpoints, type RedisGateway, startRedis } from '../../local/stack.ts';
import { createUpstream } from '../../local/upstream.ts';
import { audience, mysqlUsers } from '../../local/users.ts';
import { createOurs } from './own-tables.ts';
import { runVariables } from './run-variables.ts';

declare module 'vitest' {
  interface ProvidedContext {
    dir: string;
    /** Where `started` (started.ts) asks for servers. */
    starter: string;
  }
}

/** What `started(name)` resolves to. */
export interface Started {
  readonly emulator: Emulator;
  readonly redis: Omit<RedisGateway, 'close'>;
  /** A cluster of one test file's own, which it may empty. */
  readonly 'redis-alone': Omit<RedisGateway, 'close'>;
  /** What the component tests of one worker work with. */
  readonly [worker: `worker-${number}`]: WorkerServers;
  /** A MySQL of a worker: that of its component tests, or one for its simulations, which no other test writes to. */
  readonly [mysql: `mysql-${number}` | `mysql-simulation-${number}`]: Mysql;
  /** The deployed product, with a MySQL and partners of its own. */
  readonly stack: {
    readonly endpoints: Endpoints;
    readonly mysql: Mysql;
    readonly emulator: Emulator;
  };
}

export interface WorkerServers {
  readonly emulator: Emulator;
  readonly redis: Started['redis'];
  readonly mysql: Mysql;
  readonly simulators: Readonly<Record<SimulatorName, string>>;
  readonly tokens: Tokens;
  /** What infra/ gives a deployed function. */
  readonly env: Readonly<Record<string, string>>;
}

/**
 * Answers `GET /<name>` once that server is up; where it cannot start, 500 with the reason. `GET /exclusively/<name>`
 * is answered once no earlier caller's connection is open any more.
 */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dir = join(root, '.local/test');
  const servers = new Servers(dir);
  const queues = new Map<string, Promise<unknown>>();
  const starter = createServer(async ({ url = '' }, response) => {
    try {
      if (url.startsWith('/exclusively/')) {
        const before = queues.get(url);
        queues.set(url, Promise.all([before, once(response, 'close')]));
        await before;
        response.flushHeaders();
        return;
      }
      response.end(JSON.stringify(await servers.start(url.slice(1))));
    } catch (error) {
      response.writeHead(500).end(error instanceof Error ? error.stack : String(error));
    }
  });
  starter.requestTimeout = 0;
  await new Promise<void>((listening) => starter.listen(0, '127.0.0.1', listening));
  const { port } = starter.address() as AddressInfo;
  // Deploying takes half a minute: in a whole run it goes beside the first files, and its failure is told to who asks.
  if (process.env[runVariables.whole]) servers.start('stack').catch(() => {});
  project.provide('dir', dir);
  project.provide('starter', `http://127.0.0.1:${port}`);
  return async () => {
    starter.closeAllConnections();
    starter.close();
    await servers.stop();
  };
}

/** Starts each server once. */
class Servers {
  readonly #dir: string;
  readonly #processes: Processes;
  readonly #progress = progressOn(process.stdout);
  readonly #promises = new Map<string, Promise<unknown>>();
  readonly #closings: (() => Promise<void>)[] = [];
  #stopping = false;

  constructor(dir: string) {
    this.#dir = dir;
    this.#processes = new Processes(dir);
  }

  async start(name: string): Promise<unknown> {
    const [kind = '', number] = name.split('-');
    if (kind === 'emulator') return await this.#emulator();
    if (kind === 'redis') return await this.#redis(name);
    if (kind === 'mysql') return await this.#mysql(name);
    if (kind === 'worker') return await this.#once(name, () => this.#worker(Number(number)));
    if (kind === 'stack') return await this.#once(name, () => this.#stack());
    throw new Error(`There is no server ${name} to start.`);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.allSettled(this.#promises.values());
    await Promise.allSettled(this.#closings.map((close) => close()));
    await this.#processes.endAll();
  }

  #once<Value>(name: string, start: () => Promise<Value>): Promise<Value> {
    const known = this.#promises.get(name);
    if (known) return known as Promise<Value>;
    if (this.#stopping) throw new Error(`${name} was not started: the tests are over.`);
    const starting = start();
    this.#promises.set(name, starting);
    starting.catch(() => this.#promises.delete(name)); // The next caller tries again.
    return starting;
  }

  #step<Value>(title: string, start: () => Promise<Value>): Promise<Value> {
    return this.#once(title, () => this.#progress.step(title, start));
  }

  #packages = () => this.#step('Debian packages', installDebianPackages);

  #emulator(): Promise<Emulator> {
    return this.#step('AWS emulator', async () => {
      const port = await freePort('the AWS emulator', undefined);
      return await startEmulator(this.#processes, join(this.#dir, 'emulator'), port);
    });
  }

  async #redis(name = 'redis'): Promise<Omit<RedisGateway, 'close'>> {
    await this.#packages();
    return await this.#step(`Redis Cluster of six, Upstash gateway (${name})`, async () => {
      const port = await freePort('the Upstash gateway', undefined);
      const { close, ...redis } = await startRedis(
        this.#processes,
        join(this.#dir, name),
        undefined,
        port,
      );
      this.#closings.push(close);
      return redis;
    });
  }

  async #mysql(name: string, withOurs = true): Promise<Mysql> {
    await this.#packages();
    return await this.#step(`MySQL 8.0.31 (${name})`, async () => {
      const port = await freePort(name, undefined);
      const server = await startMysql(this.#processes, join(this.#dir, name), port, name);
      await createUpstream(server);
      if (withOurs) await createOurs(server); // The stack's own are made by its deploy.
      return server;
    });
  }

  async #simulators(): Promise<Running> {
    const running = await startSimulators();
    this.#closings.push(async () => {
      await Promise.all(Object.values(running).map(({ close }) => close()));
    });
    return running;
  }

  async #worker(worker: number): Promise<WorkerServers> {
    const [emulator, redis, mysql, running] = await Promise.all([
      this.#emulator(),
      this.#redis(),
      this.#mysql(`mysql-${worker}`),
      this.#simulators(),
    ]);
    const stage = `test-${worker}`;
    const secrets = new SecretsManagerClient(clientOptions(emulator));
    await createSecrets(secrets, mysql, redis, stage);
    const domains = await createSettings(emulator, running, stage);
    const names = [...Object.keys(mysqlUsers), 'payment', 'redis', 'upstream-keys'] as SecretName[];
    const env = {
      ...emulator.env,
      TZ: 'Asia/Shanghai',
      POWERTOOLS_LOG_LEVEL: 'INFO',
      POWERTOOLS_SERVICE_NAME: 'test',
      [oidcVariables.issuer]: running.identity.url,
      [oidcVariables.audience]: audience,
      [busVariable]: 'signalbox',
      ...Object.fromEntries(
        names.map((name) => [secretVariable(name), `signalbox/${stage}/${name}`]),
      ),
      ...Object.fromEntries(
        domains.map((domain) => [settingsVariable(domain), settingsName(stage, domain)]),
      ),
    };
    const tokens = await tokensFrom(running.identity.url);
    return { emulator, redis, mysql, simulators: urlsOf(running), tokens, env };
  }

  async #stack(): Promise<Started['stack']> {
    const [emulator, redis, mysql, simulators] = await Promise.all([
      this.#emulator(),
      this.#redis('redis-stack'), // Its functions forget keys that component tests look at.
      this.#mysql('mysql', false),
      this.#simulators(),
    ]);
    const site = { dir: this.#dir, processes: this.#processes, progress: this.#progress };
    const servers = { mysql, redis: { ...redis, close: async () => {} }, opensearch: '' };
    const apiPort = await freePort('the HTTP API', undefined);
    const { endpoints, stop } = await deployAmong(
      site,
      { ...servers, emulator, simulators },
      apiPort,
    );
    this.#closings.push(stop);
    return { endpoints, mysql, emulator };
  }
}

/** The configuration documents with the addresses of a worker's partners; returns their domains. */
async function createSettings(
  emulator: Emulator,
  running: Running,
  stage: string,
): Promise<string[]> {
  const client = new SSMClient(clientOptions(emulator));
  const all = documents(addressesOf(running));
  for (const [domain, Value] of all)
    await client.send(
      new PutParameterCommand({
        Name: settingsName(stage, domain),
        Type: 'String',
        Overwrite: true,
        Value,
      }),
    );
  return all.map(([domain]) => domain);
}
