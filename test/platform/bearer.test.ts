import { afterAll, beforeEach, expect, test, vi } from 'vitest';
import * as z from 'zod';
import { respond } from '../../lib/platform/http/respond.ts';
import { route } from '../../lib/platform/http/route.ts';
import { callsPerMinuteMax } from '../../lib/platform/http/throttle.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';
import type { Simulator } from '../../local/simulators/controls.ts';
import { type Asked, startIdentity, tokenFrom } from '../../local/simulators/identity.ts';
import { audience } from '../../local/users.ts';
import { resetDatabases, run } from '../support/databases.ts';
import { ask, httpEvent, refused, signed } from '../support/http.ts';

const identity = await startIdentity();
afterAll(() => identity.close());
beforeEach(resetDatabases);

const authorise = route({
  id: 'test/authorise',
  method: 'GET',
  path: '/authorise',
  summary: 'Says who asks.',
  who: ['signed', 'authoriser', 'support'],
  answers: { 200: z.object({ name: z.string(), may: z.array(z.string()) }) },
});

/** A handler that has asked no issuer yet. */
function fresh({ url }: Pick<Simulator, 'url'>, shown = authorise) {
  vi.stubEnv('OIDC_ISSUER', url);
  return respond(
    shown,
    ({ caller: { name, may } }) => ({
      status: 200,
      outcome: 'described',
      body: { name, may: [...may] },
    }),
    { mysql: mysql<PlatformTables>('mysql') },
  );
}

const handler = fresh(identity);
const withToken = (token: string) => httpEvent({ headers: { authorization: `Bearer ${token}` } });
const asking = async (asked: Asked) => withToken(await tokenFrom(identity.url, asked));
const tokenOf = async ({ url }: Simulator, asked: Asked) =>
  withToken(await tokenFrom(url, { role: 'support', ...asked }));

/** A token whose header names another key than it is signed with. */
async function unknownKey({ url }: Simulator, kid: string): Promise<string> {
  const [, ...rest] = (await tokenFrom(url, { role: 'support' })).split('.');
  const header = Buffer.from(JSON.stringify({ alg: 'RS256', kid })).toString('base64url');
  return [header, ...rest].join('.');
}
const fault = async ({ url }: Simulator, body: object) =>
  await fetch(`${url}/__faults`, { method: 'POST', body: JSON.stringify(body) });

test.each(['RS256', 'ES256'] as const)(
  'a token signed with %s is let in with its roles',
  async (algorithm) => {
    const roles = ['support', 'cook', 'authoriser'];
    const { status, body } = await ask(
      handler,
      await asking({ subject: 'wang', roles, algorithm }),
    );
    expect([status, body]).toEqual([200, { name: 'person:wang', may: ['authoriser', 'support'] }]);
  },
);

test('or a signature', async () => {
  const { status, body } = await ask(handler, signed(httpEvent()));
  expect([status, body]).toEqual([200, { name: 'upstream:upstream-local', may: ['signed'] }]);
});

test.each<[string, Asked]>([
  ['has expired', { expiresInSeconds: -30 }],
  ['never expires', { expiresInSeconds: null }],
  ['is not valid for another minute', { startsInSeconds: 60 }],
  ['is of another issuer', { issuer: 'https://identity.example.com' }],
  ['is for another audience', { audience: 'another' }],
  ['is not signed', { algorithm: 'none' }],
  ['is signed with the public key as a secret', { algorithm: 'HS256' }],
  ["is signed with another key under ours' name", { forged: true }],
  ['the same with ES256', { forged: true, algorithm: 'ES256' }],
  ['names nobody', { subject: '' }],
])('a token that %s is not let in', async (_, asked) => {
  const event = await asking({ role: 'support', ...asked });
  expect(await refused(handler, event)).toEqual([401, 'unauthenticated']);
});

test('a token of an issuer whose clock is two seconds ahead is let in', async () => {
  for (const asked of [{ startsInSeconds: 2 }, { expiresInSeconds: -2 }])
    expect((await ask(handler, await asking({ role: 'support', ...asked }))).status).toBe(200);
});

test('the first token under a new key is let in at once, and so is the next one', async () => {
  expect((await ask(handler, await asking({ role: 'support' }))).status).toBe(200);
  for (const newKey of ['rotated', 'rotated again']) {
    const event = await asking({ role: 'support', newKey });
    const several = await Promise.all([event, event, event].map((one) => ask(handler, one)));
    expect(several.map(({ status }) => status)).toEqual([200, 200, 200]);
  }
});

test('a token that was changed, that is none, and no token', async () => {
  const token = await tokenFrom(identity.url, { role: 'operator' });
  const [head = '', , signature = ''] = token.split('.');
  const claims = { iss: identity.url, aud: audience, sub: 'x', roles: ['support'], exp: 4e9 };
  const payload = Buffer.from(JSON.stringify(claims)).toString('base64url');
  for (const event of [
    withToken([head, payload, signature].join('.')),
    withToken('none.of.it'),
    withToken(''),
    httpEvent(),
  ])
    expect(await refused(handler, event)).toEqual([401, 'unauthenticated']);
});

test('without a role, with another role, or with one that is only known elsewhere: forbidden', async () => {
  for (const asked of [{ subject: 'li' }, { role: 'operator' }, { role: 'signed' }])
    expect(await refused(handler, await asking(asked))).toEqual([403, 'forbidden']);
});

test('a route for one role is not for another, nor for a signature', async () => {
  const operate = { ...authorise, who: ['operator'] as const };
  const only = fresh(identity, operate);
  expect((await ask(only, await asking({ role: 'operator' }))).status).toBe(200);
  expect(await refused(only, await asking({ role: 'support' }))).toEqual([403, 'forbidden']);
  expect(await refused(only, signed(httpEvent()))).toEqual([401, 'unauthenticated']);
});

test('a person is counted by name', async () => {
  await ask(handler, await asking({ role: 'support', subject: 'wang' }));
  await run('update signalbox.call_rate set calls = ?', [callsPerMinuteMax.person]);
  await run(`insert into signalbox.call_rate select caller, minute + interval 1 minute, calls
    from signalbox.call_rate`);
  const again = await asking({ role: 'support', subject: 'wang' });
  expect(await refused(handler, again)).toEqual([429, 'too_many_requests']);
  const other = await asking({ role: 'support', subject: 'zhang' });
  expect((await ask(handler, other)).status).toBe(200);
});

test.each(['/.well-known', '/jwks'])(
  'while the issuer does not show %s: 503, and right again afterwards',
  async (path) => {
    const own = await startIdentity();
    const late = fresh(own);
    const event = withToken(await tokenFrom(own.url, { role: 'support' }));
    await fault(own, { path, mode: 'error', times: 1 });
    expect(await refused(late, event)).toEqual([503, 'unavailable']);
    await fault(own, { path, mode: 'lose_answer', times: 1 });
    expect(await refused(late, event)).toEqual([503, 'unavailable']);
    expect((await ask(late, event)).status).toBe(200);
    await own.close();
    expect((await ask(late, event)).status).toBe(200); // The keys are known.
    expect(await refused(fresh(own), event)).toEqual([503, 'unavailable']);
  },
);

test('tokens that name keys which the issuer does not show read its keys a few times, not each time', async () => {
  const own = await startIdentity();
  const late = fresh(own);
  try {
    expect((await ask(late, await tokenOf(own, {}))).status).toBe(200);
    await fault(own, { path: '/jwks', mode: 'error', times: 100 });
    const answers: (number | undefined)[] = [];
    for (let count = 0; count < 20; count++) {
      const { status } = await ask(late, withToken(await unknownKey(own, `key-${count}`)));
      answers.push(status);
    }
    // While the keys cannot be read it is not known whether a token is good; after the limit it counts as not good.
    expect(answers.filter((status) => status === 503)).toHaveLength(5);
    expect(answers.filter((status) => status === 401)).toHaveLength(15);
    expect((await ask(late, await tokenOf(own, {}))).status).toBe(200);
  } finally {
    await own.close();
  }
});

test('without an issuer tokens are answered 503, signatures as ever', async () => {
  const nobody = fresh({ url: '' });
  const event = await asking({ role: 'support' });
  vi.stubEnv('OIDC_ISSUER', '');
  expect(await refused(nobody, event)).toEqual([503, 'unavailable']);
  expect((await ask(nobody, signed(httpEvent()))).status).toBe(200);
});
