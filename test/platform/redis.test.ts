import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  CreateSecretCommand,
  PutSecretValueCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeEach, expect, test, vi } from 'vitest';
import {
  cache,
  callTimeoutMs,
  failuresInARowMax,
  pauseMs,
} from '../../lib/platform/cache/redis.ts';
import { clientOptions } from '../../local/emulator.ts';
import { freePort } from '../../local/ports.ts';
import { workerServers } from '../support/started.ts';

const { emulator, redis: real } = await workerServers();
const secrets = new SecretsManagerClient(clientOptions(emulator));

/** Stands before the real gateway: counts what comes, and passes it on, refuses it or lets it hang. */
let mode: 'pass' | 'hang' | 'error' = 'pass';
let requests: string[] = [];
let rotated: string | undefined;
const front = createServer((request, response) => void pass(request, response));

async function pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let body = '';
  for await (const part of request) body += part;
  requests.push(body);
  if (mode === 'hang') return;
  if (mode === 'error') return void response.writeHead(503).end('{"error":"busy"}');
  const { authorization = '', 'upstash-encoding': encoding = '' } = request.headers;
  // Where the token of the front was rotated it is another than that of the gateway.
  const token = rotated && authorization === `Bearer ${rotated}` ? real.token : undefined;
  if (rotated && !token)
    return void response.writeHead(401).end('{"error":"WRONGPASS invalid or missing auth token"}');
  const headers = {
    authorization: token ? `Bearer ${token}` : authorization,
    'upstash-encoding': String(encoding),
  };
  const answer = await fetch(real.url + request.url, { method: 'POST', body, headers });
  response.writeHead(answer.status).end(await answer.text());
}

await new Promise<void>((listening) => front.listen(0, '127.0.0.1', listening));
const url = `http://127.0.0.1:${(front.address() as AddressInfo).port}`;
afterAll(() => {
  front.closeAllConnections();
  front.close();
});

let now = 0;
let created = 0;
/** A gateway that answers may be slow on a machine that has much to do. */
const patientMs = 5_000;

/** A client of what lies behind the address, whose secret it has read already. */
async function clientOf(url: string, { token = real.token, timeoutMs = patientMs } = {}) {
  created += 1;
  const Name = `test/redis-${process.pid}-${created}`;
  const SecretString = JSON.stringify({ url, token });
  await secrets.send(new CreateSecretCommand({ Name, SecretString }));
  vi.stubEnv('SECRET_REDIS', Name);
  const ask = cache({ clock: () => now, timeoutMs });
  vi.unstubAllEnvs();
  return ask;
}

/** Asks until the client has read its secret, which may take longer than a call. */
async function opened(ask: ReturnType<typeof cache>) {
  mode = 'pass';
  await vi.waitUntil(
    async () => {
      now += pauseMs;
      return (await ask((redis) => redis.ping())) === 'PONG';
    },
    { timeout: 10_000 },
  );
  requests = [];
  return ask;
}

beforeEach(() => {
  mode = 'pass';
  rotated = undefined;
  requests = [];
  now = 0;
});

test('keeps and gives values; null is what it does not hold', async () => {
  const ask = await opened(cache({ clock: () => now, timeoutMs: patientMs }));
  expect(await ask((redis) => redis.set('姓名', { 名: '王芳' }, { ex: 60 }))).toBe('OK');
  expect(await ask((redis) => redis.get('姓名'))).toEqual({ 名: '王芳' });
  expect(await ask((redis) => redis.get('absent'))).toBeNull();
});

test('a secret that is slow to be read at a cold start counts against nobody, and begins no pause', async () => {
  const read = Promise.withResolvers<{ url: string; token: string }>();
  const ask = cache({ clock: () => now, timeoutMs: 500, access: () => read.promise });
  for (let turn = 0; turn <= failuresInARowMax; turn++)
    expect(await ask((redis) => redis.ping())).toBeUndefined();
  read.resolve({ url, token: real.token });
  await vi.waitFor(async () => expect(await ask((redis) => redis.ping())).toBe('PONG'), {
    timeout: 10_000,
  });
  expect(requests.length).toBeGreaterThan(0);
});

test('questions of one moment are one request', async () => {
  const ask = await opened(await clientOf(url));
  const names = Array.from({ length: 20 }, (_, index) => `many:${index}`);
  await Promise.all(names.map((name) => ask((redis) => redis.set(name, name))));
  expect(requests).toHaveLength(1);
  const answers = await Promise.all(names.map((name) => ask((redis) => redis.get(name))));
  expect(answers).toEqual(names);
  expect(requests).toHaveLength(2);
});

test('what Redis refuses is no answer, and no sign of its being away', async () => {
  const ask = await opened(await clientOf(url));
  await ask((redis) => redis.set('text', 'abc'));
  for (let time = 0; time < failuresInARowMax + 1; time++)
    expect(await ask((redis) => redis.incr('text'))).toBeUndefined();
  expect(await ask((redis) => redis.get('text'))).toBe('abc');
});

test('a request loses 150 ms at most to a cache that is away, and a pause is longer than a request', () => {
  const probes = 1;
  expect((failuresInARowMax + probes) * callTimeoutMs).toBeLessThanOrEqual(150);
  expect(pauseMs).toBeGreaterThanOrEqual(30_000);
});

test.each(['hang', 'error'] as const)(
  'a gateway that answers with %s is asked no more than the limit, then once a pause',
  async (how) => {
    const ask = await opened(await clientOf(url, { timeoutMs: 500 }));
    mode = how;
    for (let call = 0; call < 20; call++)
      expect(await ask((redis) => redis.get('a'))).toBeUndefined();
    expect(requests).toHaveLength(failuresInARowMax);
    now += pauseMs - 1;
    expect(await ask((redis) => redis.get('a'))).toBeUndefined();
    expect(requests).toHaveLength(failuresInARowMax);
    for (let pause = 1; pause <= 3; pause++) {
      now += pauseMs;
      await Promise.all([1, 2, 3].map(() => ask((redis) => redis.get('a'))));
      await ask((redis) => redis.get('a'));
      expect(requests).toHaveLength(failuresInARowMax + pause);
    }
    mode = 'pass';
    expect(await ask((redis) => redis.set('b', 1))).toBeUndefined();
    now += pauseMs;
    expect(await ask((redis) => redis.set('b', 1))).toBe('OK');
    for (let call = 0; call < 5; call++) expect(await ask((redis) => redis.get('b'))).toBe(1);
  },
);

test('a call is given up before a gateway that hangs closes it', async () => {
  const ask = await clientOf(url, { timeoutMs: callTimeoutMs });
  mode = 'hang';
  const order: string[] = [];
  const late = new Promise<void>((done) =>
    setTimeout(() => {
      order.push('five time-outs later');
      done();
    }, 5 * callTimeoutMs),
  );
  await Promise.all([ask((redis) => redis.get('a')).then(() => order.push('given-up')), late]);
  expect(order).toEqual(['given-up', 'five time-outs later']);
});

test('where nobody listens, the token is wrong or there is no secret, work goes on without it', async () => {
  const port = await freePort('a gateway that is not there', undefined);
  const dead = await clientOf(`http://127.0.0.1:${port}`);
  const wrong = await clientOf(url, { token: 'wrong' });
  vi.stubEnv('SECRET_REDIS', 'test/no-such-secret');
  const none = cache({ clock: () => now });
  vi.unstubAllEnvs();
  for (const ask of [dead, wrong, none])
    for (let call = 0; call < 4; call++)
      expect(await ask((redis) => redis.get('a'))).toBeUndefined();
});

test.each([
  { who: 'a request', pauseMs: undefined },
  { who: 'deliver-due, which asks each time', pauseMs: 0 },
])(
  'a token that was rotated is read again when the old one is refused: $who',
  async ({ pauseMs: quietMs }) => {
    created += 1;
    const Name = `test/redis-${process.pid}-${created}`;
    const SecretString = JSON.stringify({ url, token: real.token });
    await secrets.send(new CreateSecretCommand({ Name, SecretString }));
    vi.stubEnv('SECRET_REDIS', Name);
    const clock = () => now;
    const ask = await opened(
      cache({ clock, timeoutMs: patientMs, ...(quietMs !== undefined && { pauseMs: quietMs }) }),
    );
    vi.unstubAllEnvs();
    rotated = 'the next token';
    await secrets.send(
      new PutSecretValueCommand({
        SecretId: Name,
        SecretString: JSON.stringify({ url, token: rotated }),
      }),
    );
    expect(await ask((redis) => redis.ping())).toBeUndefined();
    // No pause passes by: the clock stands still.
    await vi.waitUntil(async () => (await ask((redis) => redis.ping())) === 'PONG', {
      timeout: 10_000,
    });
  },
);

test('single failures between answers do not stop the calls', async () => {
  const ask = await opened(await clientOf(url));
  for (let round = 0; round < 4; round++) {
    mode = 'error';
    expect(await ask((redis) => redis.get('c'))).toBeUndefined();
    mode = 'pass';
    expect(await ask((redis) => redis.set('c', round))).toBe('OK');
  }
});
