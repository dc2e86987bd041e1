import { join } from 'node:path';
import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import type { TestProject } from 'vitest/node';
import type { Emulator } from '../../local/emulator.ts';
import { type Mysql, startMysql, users } from '../../local/mysql.ts';
import { freePort } from '../../local/ports.ts';
import { progressOn } from '../../local/progress.ts';
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
  }
}

const workers = 2;

/** Starts everything once for a whole test run. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dir = join(root, '.local/test');
  const stack = await startStack(dir, {}, progressOn(process.stdout));
  const servers: Mysql[] = [];
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
    }
  } catch (error) {
    await stack.stop();
    throw error;
  }
  project.provide('dir', dir);
  project.provide('endpoints', stack.endpoints);
  project.provide('emulator', stack.emulator);
  project.provide('mysql', stack.mysql);
  project.provide('servers', servers);
  return stack.stop;
}

async function createSecrets(
  emulator: Emulator,
  { host, port }: Mysql,
  worker: number,
): Promise<void> {
  const client = new SecretsManagerClient(clientOptions(emulator));
  for (const [name, user] of Object.entries({
    mysql: users.signalbox,
    'mysql-upstream': users.upstream,
  })) {
    const SecretString = JSON.stringify({ host, port, ...user, ssl: false });
    await client.send(
      new CreateSecretCommand({ Name: `signalbox/test-${worker}/${name}`, SecretString }),
    );
  }
}
