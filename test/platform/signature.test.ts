import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import { beforeEach, expect, test, vi } from 'vitest';
import * as z from 'zod';
import { respond } from '../../lib/platform/http/respond.ts';
import { route } from '../../lib/platform/http/route.ts';
import { signedHeaders } from '../../lib/platform/http/signature.ts';
import { windowSeconds } from '../../lib/platform/http/signature-formats.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';
import { clientOptions } from '../../local/emulator.ts';
import { resetDatabases, rowsOf, run } from '../support/databases.ts';
import { ask, httpEvent, refused, signed } from '../support/http.ts';
import { workerServers } from '../support/started.ts';

const { emulator } = await workerServers();

const secrets = ['the new secret of a system', 'the old secret of a system'] as const;
const keys = { 'system-a': secrets, 'system-b': ['the secret of another one'] };
const client = new SecretsManagerClient(clientOptions(emulator));
const Name = `test/upstream-keys-${process.pid}`;
await client.send(new CreateSecretCommand({ Name, SecretString: JSON.stringify(keys) }));
vi.stubEnv('SECRET_UPSTREAM_KEYS', Name);

const publish = route({
  id: 'test/publish',
  method: 'POST',
  path: '/publish',
  summary: 'Takes a number.',
  who: ['signed'],
  query: z.object({ tunnel: z.string() }),
  body: z.object({ number: z.int() }),
  answers: { 202: z.object({ caller: z.string() }) },
});
const handler = respond(
  publish,
  ({ caller }) => ({ status: 202, outcome: 'accepted', body: { caller: caller.name } }),
  { mysql: mysql<PlatformTables>('mysql') },
);
vi.unstubAllEnvs();
beforeEach(resetDatabases);

const event = httpEvent({
  method: 'POST',
  path: '/publish',
  query: 'tunnel=a&b=%20c',
  body: '{"number": 1}',
});
const by = { key: 'system-a', secret: secrets[0] };
const good = (stamp = {}) => signed(event, { by, ...stamp });
const denied = [401, 'unauthenticated'];
const changed = (part: Partial<APIGatewayProxyEventV2>) => ({ ...good(), ...part });
const withHeader = (name: string, value: string) => {
  const request = good();
  return { ...request, headers: { ...request.headers, [name]: value } };
};

test('the text that is signed is the one that upstream systems know', () => {
  const request = { method: 'POST', target: '/publish?tunnel=broker_event', body: '{"a":1}' };
  const stamp = { timestamp: 1_795_226_400, nonce: 'n-1' };
  // printf '%s' "1795226400.n-1.POST./publish?tunnel=broker_event.$(printf '%s' '{"a":1}' | sha256sum | cut -d' ' -f1)" |
  //   openssl dgst -sha256 -hmac 'the secret'
  expect(signedHeaders({ key: 'k', secret: 'the secret' }, request, stamp)).toEqual({
    'x-signalbox-key': 'k',
    'x-signalbox-timestamp': '1795226400',
    'x-signalbox-nonce': 'n-1',
    'x-signalbox-signature': '8230f1e3292553d4a64cb6b65dd9d064feec4c93f7ca0d5c7491f6788185536f',
  });
});

test('a right signature is let in under the name of its key, with either secret', async () => {
  for (const secret of secrets) {
    const { status, body } = await ask(handler, signed(event, { by: { ...by, secret } }));
    expect([status, body]).toEqual([202, { caller: 'upstream:system-a' }]);
  }
});

test.each<[string, () => APIGatewayProxyEventV2]>([
  ['no signature', () => event],
  ['a wrong one', () => withHeader('x-signalbox-signature', '0'.repeat(64))],
  ['one that is not hex', () => withHeader('x-signalbox-signature', 'z'.repeat(64))],
  ['one that is too short', () => withHeader('x-signalbox-signature', 'ab')],
  ['another secret', () => good({ by: { ...by, secret: 'no secret of this system' } })],
  ["another system's key", () => withHeader('x-signalbox-key', 'system-b')],
  ['an unknown key', () => withHeader('x-signalbox-key', 'system-c')],
  ['a key that every object has', () => withHeader('x-signalbox-key', 'constructor')],
  ['another nonce', () => withHeader('x-signalbox-nonce', 'other')],
  ['a nonce with a dot', () => good({ nonce: 'a.b' })],
  [
    'another timestamp',
    () => withHeader('x-signalbox-timestamp', `${Math.floor(Date.now() / 1000) + 2}`),
  ],
  ['no timestamp', () => withHeader('x-signalbox-timestamp', 'now')],
  ['another path', () => changed({ rawPath: '/publisH' })],
  ['another query', () => changed({ rawQueryString: 'tunnel=b&b=%20c' })],
  ['no query', () => changed({ rawQueryString: '' })],
  ['a body that differs by a byte', () => changed({ body: '{"number": 2}' })],
  ['a body with a blank more', () => changed({ body: '{"number": 1} ' })],
  ['too old', () => good({ ageSeconds: windowSeconds + 5 })],
  ['too far in the future', () => good({ ageSeconds: -windowSeconds - 5 })],
])('%s: not let in, and no nonce is used up', async (_, make) => {
  expect(await refused(handler, make())).toEqual(denied);
  expect(await rowsOf('select * from signalbox.nonce')).toEqual([]);
});

test('another method', async () => {
  const request = good();
  const { requestContext } = request;
  const http = { ...requestContext.http, method: 'PATCH' };
  const other = { ...request, requestContext: { ...requestContext, http } };
  expect(await refused(handler, other)).toEqual(denied);
});

test('almost five minutes old, and almost five minutes ahead, are within the window', async () => {
  for (const ageSeconds of [windowSeconds - 10, 10 - windowSeconds])
    expect((await ask(handler, good({ ageSeconds }))).status).toBe(202);
});

test('a replay is refused; the same request with another nonce, or by another system, is not', async () => {
  const request = good({ nonce: 'n-1' });
  expect((await ask(handler, request)).status).toBe(202);
  expect(await refused(handler, request)).toEqual(denied);
  expect(await refused(handler, good({ nonce: 'n-1' }))).toEqual(denied);
  expect((await ask(handler, good({ nonce: 'N-1' }))).status).toBe(202);
  const other = { key: 'system-b', secret: 'the secret of another one' };
  expect((await ask(handler, good({ nonce: 'n-1', by: other }))).status).toBe(202);
});

test('of ten equal requests at once one is let in', async () => {
  const request = good();
  const answers = await Promise.all(Array.from({ length: 10 }, () => ask(handler, request)));
  expect(answers.map(({ status }) => status).toSorted()).toEqual([202, ...Array(9).fill(401)]);
});

test('a nonce is kept for as long as its request is within the window, then forgotten', async () => {
  await ask(handler, good({ nonce: 'ahead', ageSeconds: 10 - windowSeconds }));
  await run(`insert into signalbox.nonce
    with recursive n as (select 1 i union all select i + 1 from n where i < 30)
    select 'system-a', concat('old-', i), now() - interval 1 second from n`);
  const count = async () =>
    Number((await rowsOf('select count(*) n from signalbox.nonce'))[0]?.['n']);
  await ask(handler, good());
  expect(await count()).toBe(12); // 32 less the twenty that one request forgets.
  await Promise.all(Array.from({ length: 20 }, () => ask(handler, good())));
  expect(await count()).toBe(22);
  expect(await refused(handler, good({ nonce: 'ahead' }))).toEqual(denied);
  const [row] = await rowsOf(
    "select timestampdiff(second, now(), expires_at) left_s from signalbox.nonce where nonce = 'ahead'",
  );
  expect(Number(row?.['left_s'])).toBeGreaterThan(2 * windowSeconds - 30);
});

test('a key under which nothing is known to the secret says no more than a wrong one', async () => {
  const [unknown, wrong] = await Promise.all([
    ask(handler, withHeader('x-signalbox-key', 'system-c')),
    ask(handler, withHeader('x-signalbox-signature', '0'.repeat(64))),
  ]);
  expect(unknown.body).toEqual(wrong.body);
});
