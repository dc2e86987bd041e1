import { join } from 'node:path';
import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { PutParameterCommand, SSMClient } from '@aws-sdk/client-ssm';
import type { TestProject } from 'vitest/node';
import { documents } from '../../infra/constructs/documents.ts';
import { settingsName } from '../../infra/constructs/names.ts';
import type { Emulator } from '../../local/emulator.ts';
import { type Mysql, startMysql } from '../../local/mysql.ts';
import { freePort } from '../../local/ports.ts';
import { progressOn } from '../../local/progress.ts';
import { mysqlUsers } from '../../local/secrets.ts';
import {
  addressesOf,
  type Running,
  type SimulatorName,
  startSimulators,
  urlsOf,
} from '../../local/simulators/all.ts';
import { clientOptions, type Endpoints, root, startStack } from '../../local/stack.ts';
import { createUpstream } from '../../local/upstream.ts';
import { createOurs } from './ours.ts';

declare module 'vitest' {
  interface ProvidedContext {
    dir: string;
    endpoints: Endpoints;
    emulator: Emulator;
    /** The MySQL of the deployed stack. */
    mysql: Mysql;
    /** One for each worker of the component tests. */
    servers: Mysql[];
    /** The same: partners' simulators with their own state. */
    simulators: Readonly<Record<SimulatorName, string>>[];
  }
}

const workers = 3;

/** Starts everything once for a whole test run. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dir = join(root, '.local/test');
  const stack = await startStack(dir, {}, progressOn(process.stdout), { search: false });
  const servers: Mysql[] = [];
  const partners: Running[] = [];
  const stop = async () => {
    await Promise.all(
      partners.flatMap((running) => Object.values(running)).map(({ close }) => close()),
    );
    await stack.stop();
  };
  try {
    for (let worker = 1; worker <= workers; worker++) {
      const name = `mysql-${worker}`;
      const server = await startMysql(
        stack.processes,
        join(dir, name),
        await freePort(name, undefined),
        name,
      );
      await createUpstream(server);
      await createOurs(server);
      await createSecrets(stack.emulator, server, worker);
      servers.push(server);
      const running = await startSimulators();
      partners.push(running);
      await createSettings(stack.emulator, running, worker);
    }
  } catch (error) {
    await stop();
    throw error;
  }
  project.provide('dir', dir);
  project.provide('endpoints', stack.endpoints);
  project.provide('emulator', stack.emulator);
  project.provide('mysql', stack.mysql);
  project.provide('servers', servers);
  project.provide('simulators', partners.map(urlsOf));
  return stop;
}

async function createSecrets(
  emulator: Emulator,
  { host, port }: Mysql,
  worker: number,
): Promise<void> {
  const client = new SecretsManagerClient(clientOptions(emulator));
  for (const [name, user] of Object.entries(mysqlUsers)) {
    const SecretString = JSON.stringify({ host, port, ...user, ssl: false });
    await client.send(
      new CreateSecretCommand({ Name: `signalbox/test-${worker}/${name}`, SecretString }),
    );
  }
}

/** The configuration documents with the addresses of this worker's partners. */
async function createSettings(emulator: Emulator, running: Running, worker: number): Promise<void> {
  const client = new SSMClient(clientOptions(emulator));
  for (const [domain, Value] of documents(addressesOf(running)))
    await client.send(
      new PutParameterCommand({
        Name: settingsName(`test-${worker}`, domain),
        Type: 'String',
        Overwrite: true,
        Value,
      }),
    );
}
