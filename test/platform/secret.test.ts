import {
  CreateSecretCommand,
  PutSecretValueCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { expect, test, vi } from 'vitest';
import * as z from 'zod';
import { secret } from '../../lib/platform/lambda/secret.ts';
import { clientOptions } from '../../local/emulator.ts';
import { workerServers } from '../support/started.ts';

const { emulator } = await workerServers();

const client = new SecretsManagerClient(clientOptions(emulator));
const Key = z.object({ key: z.string() });
const text = (key: string) => JSON.stringify({ key });

async function written(name: string, value: string, clock?: () => number) {
  await client.send(new CreateSecretCommand({ Name: name, SecretString: value }));
  vi.stubEnv('SECRET_PAYMENT', name);
  const read = secret('payment', Key, clock);
  vi.unstubAllEnvs();
  const rotate = (key: string) =>
    client.send(new PutSecretValueCommand({ SecretId: name, SecretString: text(key) }));
  return { read, rotate };
}

test('a secret is kept; past the cache it is read once in five seconds at most, for all who ask', async () => {
  let now = 0;
  const { read, rotate } = await written('test/rotated', text('first'), () => now);
  expect(await read()).toEqual({ key: 'first' });
  await rotate('second');
  expect(await read()).toEqual({ key: 'first' });
  const both = [read({ pastCache: true }), read({ pastCache: true })];
  expect(await Promise.all(both)).toEqual([{ key: 'second' }, { key: 'second' }]);
  expect(await read()).toEqual({ key: 'second' });
  await rotate('third');
  now = 4999;
  expect(await read({ pastCache: true })).toEqual({ key: 'second' });
  now = 5000;
  expect(await read({ pastCache: true })).toEqual({ key: 'third' });
});

test('a secret of another form is named without its text', async () => {
  const { read } = await written('test/other-form', '{"key":13812345678}');
  await expect(read()).rejects.toThrow(
    'The secret test/other-form is not valid: key: Invalid input: expected string, received number',
  );
  const { read: readText } = await written('test/no-json', 'hunter2');
  const error = await readText().catch(String);
  expect(error).toContain('Unavailable: The secret test/no-json is not valid: ');
  expect(error).not.toContain('hunter2');
});
