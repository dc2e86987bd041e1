/** Starts the whole local cloud and deploys the product into it. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { ListQueuesCommand, SQSClient } from '@aws-sdk/client-sqs';
import { functionIds } from '../infra/constructs/bundle.ts';
import { bucketName, busName, settingsName } from '../infra/constructs/names.ts';
import { deadLetterOf } from '../lib/platform/messaging/queue.ts';
import { resourceName } from '../lib/platform/names.ts';
import { apiAddress, startApi } from './api.ts';
import { clientOptions, type Emulator, startEmulator } from './emulator.ts';
import { installDebianPackages } from './install.ts';
import { type Mysql, startMysql } from './mysql.ts';
import { startOpenSearch } from './opensearch.ts';
import { freePort } from './ports.ts';
import { Processes } from './processes.ts';
import type { Progress } from './progress.ts';
import { password, startRedisCluster } from './redis.ts';
import { root } from './root.ts';
import { createSecrets, upstream } from './secrets.ts';
import {
  addressesOf,
  type Running,
  type SimulatorName,
  startSimulators,
  urlsOf,
} from './simulators/all.ts';
import { type Tokens, tokensFrom } from './simulators/identity.ts';
import { startUpstashGateway } from './upstash.ts';
import { createUpstream } from './upstream.ts';
import { audience, users } from './users.ts';

const upstashToken = 'upstash-local';
/** Limits for the local stack. They are high, because no real money is at stake and tests send many calls. */
const localChargesMax = 1_000_000;

/** The requested ports; all other ports are any free ones. */
export interface Ports {
  readonly mysql?: number | undefined;
  readonly redis?: number | undefined;
  readonly upstash?: number | undefined;
  readonly opensearch?: number | undefined;
  readonly aws?: number | undefined;
  readonly api?: number | undefined;
  readonly simulators?: Partial<Record<SimulatorName, number>>;
}

/** The content of `.local/endpoints.json`. Its format is fixed, because other tools read it. */
export interface Endpoints {
  readonly mysql: string;
  readonly redis: { readonly nodes: readonly string[]; readonly password: string };
  readonly upstash: { readonly url: string; readonly token: string };
  readonly opensearch: string;
  readonly aws: string;
  readonly region: string;
  /** The base URL of the HTTP API. */
  readonly api: string;
  readonly queues: Readonly<Record<string, string>>;
  readonly deadLetterQueues: Readonly<Record<string, string>>;
  readonly functions: Readonly<Record<string, string>>;
  readonly parameters: Readonly<Record<string, string>>;
  readonly bus: string;
  readonly bucket: string;
  readonly simulators: Readonly<Record<SimulatorName, string>>;
  readonly credentials: { readonly upstream: typeof upstream } & Tokens;
}

/** The target of a CDK deploy, and its working folder. */
interface Cloud {
  readonly dir: string;
  readonly emulator: Emulator;
  readonly processes: Processes;
}

export interface Stack extends Cloud {
  readonly endpoints: Endpoints;
  readonly mysql: Mysql;
  readonly stop: () => Promise<void>;
}

/** The cache as clients see it: the Upstash gateway, and the Redis nodes that it serves. */
export interface RedisGateway {
  readonly nodes: readonly string[];
  readonly url: string;
  readonly token: string;
  readonly close: () => Promise<void>;
}

/** The servers on which the deployed product relies. */
interface Servers {
  readonly mysql: Mysql;
  readonly redis: RedisGateway;
  /** Empty if no OpenSearch was started. */
  readonly opensearch: string;
  readonly emulator: Emulator;
  readonly simulators: Running;
}

/** The folder, the processes and the progress output of a stack. */
interface Site {
  readonly dir: string;
  readonly processes: Processes;
  readonly progress: Progress;
}

interface Options {
  /** Do not start OpenSearch, which halves the cost of a start. */
  readonly search?: boolean;
}

/**
 * Starts the whole local cloud in `dir` and deploys the product into it. If that fails, it ends the servers it has
 * started.
 */
export async function startStack(
  dir: string,
  ports: Ports,
  progress: Progress,
  { search = true }: Options = {},
): Promise<Stack> {
  const processes = new Processes(dir);
  rmSync(join(dir, 'endpoints.json'), { force: true });
  try {
    const site = { dir, processes, progress };
    const apiPort = await freePort('the HTTP API', ports.api); // Fails at once, not after minutes, if the port is taken.
    const servers = await startServers(site, ports, search);
    return await deployAmong(site, servers, apiPort);
  } catch (error) {
    await processes.endAll();
    throw error;
  }
}

async function startServers(
  { dir, processes, progress: { step } }: Site,
  ports: Ports,
  search: boolean,
): Promise<Servers> {
  await step('Debian packages', installDebianPackages);
  const taken = {
    mysql: await freePort('MySQL', ports.mysql),
    upstash: await freePort('the Upstash gateway', ports.upstash),
    opensearch: await freePort('OpenSearch', ports.opensearch),
    aws: await freePort('the AWS emulator', ports.aws),
  };
  const at = (name: string) => join(dir, name);
  const [mysql, redis, opensearch, emulator, simulators] = await allOrFirstError([
    step('MySQL 8.0.31 with upstream tables', async () => {
      const server = await startMysql(processes, at('mysql'), taken.mysql);
      await createUpstream(server);
      return server;
    }),
    step('Redis Cluster of six, Upstash gateway', () =>
      startRedis(processes, at('redis'), ports.redis, taken.upstash),
    ),
    search
      ? step('OpenSearch 2.19.6', () =>
          startOpenSearch(processes, at('opensearch'), taken.opensearch),
        )
      : Promise.resolve(''),
    step('AWS emulator', () => startEmulator(processes, at('emulator'), taken.aws)),
    step('Simulators of partners', () => startSimulators(ports.simulators)),
  ]);
  return { mysql, redis, opensearch, emulator, simulators };
}

/** Starts a Redis Cluster and its Upstash-compatible gateway. */
export async function startRedis(
  processes: Processes,
  dir: string,
  firstPort: number | undefined,
  gatewayPort: number,
): Promise<RedisGateway> {
  const nodes = await startRedisCluster(processes, dir, firstPort);
  const token = upstashToken;
  const { url, close } = await startUpstashGateway({ nodes, password, token }, gatewayPort);
  return { nodes, url, token, close };
}

/** Deploys the product to these servers and writes `endpoints.json`. Its `stop` ends the servers, too. */
export async function deployAmong(
  { dir, processes, progress: { step } }: Site,
  servers: Servers,
  apiPort: number,
): Promise<Stack> {
  const { mysql, redis, opensearch, emulator, simulators } = servers;
  const at = (name: string) => join(dir, name);
  const secrets = new SecretsManagerClient(clientOptions(emulator));
  await createSecrets(secrets, mysql, redis);
  const context = {
    stage: 'local',
    oidcIssuer: simulators.identity.url,
    oidcAudience: audience,
    chargesPerMinuteMax: localChargesMax,
    chargesPerMinutePerOwnerMax: localChargesMax,
    ...addressesOf(simulators),
  };
  writeFileSync(at('context.json'), JSON.stringify(context, null, 2));
  rmSync(at('cdk.out'), { recursive: true, force: true }); // It may contain the lock of a killed run.
  await step('cdk bootstrap', () => bootstrap({ dir, emulator, processes }));
  await step('cdk deploy', () => deploy({ dir, emulator, processes }));

  const api = await startApi(
    { address: apiAddress(at('cdk.out.json')), port: Number(new URL(emulator.url).port) },
    apiPort,
  );
  const { username, password: mysqlPassword } = users.admin;
  const endpoints: Endpoints = {
    mysql: `mysql://${username}:${mysqlPassword}@${mysql.host}:${mysql.port}/`,
    redis: { nodes: redis.nodes, password },
    upstash: { url: redis.url, token: redis.token },
    opensearch,
    aws: emulator.url,
    region: emulator.region,
    api: api.url,
    ...(await deployed(emulator)),
    simulators: urlsOf(simulators),
    credentials: { upstream, ...(await tokensFrom(simulators.identity.url)) },
  };
  writeFileSync(at('endpoints.json'), JSON.stringify(endpoints, null, 2));
  const stop = async () => {
    rmSync(at('endpoints.json'), { force: true });
    await processes.endAll();
    await Promise.all([redis, api, ...Object.values(simulators)].map(({ close }) => close()));
  };
  return { dir, endpoints, mysql, emulator, processes, stop };
}

/** Like Promise.all, but throws only after all promises have settled. */
async function allOrFirstError<Values extends readonly unknown[]>(
  promises: { readonly [Index in keyof Values]: Promise<Values[Index]> },
): Promise<Values> {
  await Promise.allSettled(promises);
  return (await Promise.all(promises)) as unknown as Values;
}

const bootstrap = (cloud: Cloud) =>
  cdk(
    cloud,
    ['bootstrap', `aws://${cloud.emulator.account}/${cloud.emulator.region}`],
    join(cloud.dir, 'emulator'),
  );

/** Another release of the same code (so that it counts as changed), or another app. */
interface Deployment {
  readonly release?: string;
  readonly app?: string;
  readonly output?: string;
}

/** Deploys infra/ with the real CDK CLI. */
export async function deploy(
  cloud: Cloud,
  {
    release,
    app = join(root, 'infra/app.ts'),
    output = join(cloud.dir, 'cdk.out'),
  }: Deployment = {},
): Promise<void> {
  const given: Record<string, string | number> = JSON.parse(
    readFileSync(join(cloud.dir, 'context.json'), 'utf8'),
  );
  const context = { ...given, ...(release && { release }) };
  const options = {
    app: `${process.execPath} ${app}`,
    output,
    'outputs-file': `${output}.json`,
    'require-approval': 'never',
    method: 'direct',
    concurrency: 2,
  };
  await cdk(cloud, [
    'deploy',
    '--all',
    ...Object.entries(options).map(([name, value]) => `--${name}=${value}`),
    ...Object.entries(context).map(([name, value]) => `--context=${name}=${value}`),
  ]);
}

function cdk(
  stack: Cloud,
  [command, ...args]: readonly [string, ...string[]],
  cwd = root,
): Promise<void> {
  const { dir, emulator, processes } = stack;
  const env = {
    PATH: process.env['PATH'],
    HOME: dir, // Hides the user's own AWS configuration.
    CDK_DISABLE_CLI_TELEMETRY: 'true',
    CDK_VALIDATION: 'false', // It takes seconds, and test/infra/cloud.test.ts checks the same templates.
    ...emulator.env,
  };
  const cli = join(root, 'node_modules/aws-cdk/bin/cdk');
  return processes.run(
    `cdk-${command}`,
    [process.execPath, cli, command, ...args, '--no-notices'],
    { env, cwd },
  );
}

/** Returns the names of all resources that can be reached, by function id. */
async function deployed(emulator: Emulator) {
  const client = new SQSClient(clientOptions(emulator));
  const { QueueUrls = [] } = await client.send(
    new ListQueuesCommand({ QueueNamePrefix: resourceName(''), MaxResults: 1000 }),
  );
  const urls = new Map(QueueUrls.map((url) => [url.slice(url.lastIndexOf('/') + 1), url]));
  const ids = functionIds();
  const urlsOf = (idOf: (id: string) => string) =>
    Object.fromEntries(
      ids.flatMap((id) => {
        const url = urls.get(resourceName(idOf(id)));
        return url ? [[id, url]] : [];
      }),
    );
  const domains = new Set(ids.map((id) => id.slice(0, id.indexOf('/'))));
  return {
    queues: urlsOf((id) => id),
    deadLetterQueues: urlsOf((id) => deadLetterOf({ id: id as never }).id),
    functions: Object.fromEntries(ids.map((id) => [id, resourceName(id)])),
    parameters: Object.fromEntries(
      [...domains].map((domain) => [domain, settingsName('local', domain)]),
    ),
    bus: busName,
    bucket: bucketName('local', emulator.account, emulator.region),
  };
}
