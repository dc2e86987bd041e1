import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { beforeEach, expect, test, vi } from 'vitest';
import * as z from 'zod';
import { Postponed, Rejected } from '../../lib/platform/errors.ts';
import { refusal } from '../../lib/platform/http/refusal.ts';
import { bodyBytesMax } from '../../lib/platform/http/request.ts';
import { respond } from '../../lib/platform/http/respond.ts';
import { type AnswerOf, route } from '../../lib/platform/http/route.ts';
import { callsPerMinuteMax } from '../../lib/platform/http/throttle.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';
import { clientOptions } from '../../local/emulator.ts';
import { freePort } from '../../local/ports.ts';
import { resetDatabases, rowsOf, run } from '../support/databases.ts';
import { ask, httpEvent, refused, signed } from '../support/http.ts';
import { workerServers } from '../support/started.ts';

const { emulator } = await workerServers();

const deps = { mysql: mysql<PlatformTables>('mysql') };
beforeEach(resetDatabases);

const addUp = route({
  id: 'test/add-up',
  method: 'POST',
  path: '/sums/{id}',
  summary: 'Adds numbers up.',
  who: 'signed',
  parameters: z.object({ id: z.string().regex(/^\d+$/) }),
  query: z.object({ unit: z.enum(['fen', 'yuan']).default('fen') }),
  body: z.object({ numbers: z.array(z.int()).max(3) }),
  answers: { 201: z.object({ sum: z.string() }) },
  refuses: ['conflict'],
});

/** As a domain would write it. */
function added(numbers: readonly number[], whose: string): AnswerOf<typeof addUp> {
  if (!numbers.length) return refusal('conflict', 'There is nothing to add up.');
  const sum = `${numbers.reduce((all, one) => all + one, 0)} ${whose}`;
  return { status: 201, outcome: 'accepted', body: { sum }, headers: { location: '/sums/1' } };
}

const handler = respond(
  addUp,
  ({ body: { numbers }, query: { unit }, parameters: { id }, caller: { name }, at }) =>
    added(numbers, `${unit} for ${id}, ${name}, ${at.toISOString()}`),
  deps,
);

const event = (body: unknown, { id = '7', query = 'unit=yuan' } = {}) =>
  httpEvent({ method: 'POST', path: `/sums/${id}`, parameters: { id }, query, body });
const sum = signed.bind(null, event({ numbers: [1, 2] }));

test('a request is read with the schemas of its route, and answered', async () => {
  expect(await ask(handler, sum())).toEqual({
    status: 201,
    headers: {
      'content-type': 'application/json; charset=utf-8',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      location: '/sums/1',
    },
    body: { sum: '3 yuan for 7, upstream:upstream-local, 2026-11-21T02:00:00.000Z' },
  });
});

test('a body in base64 is the same body', async () => {
  const body = Buffer.from('{"numbers": [1, 2]}');
  expect((await ask(handler, signed(event(body)))).status).toBe(201);
});

test('the handler refuses with a code of its route', async () => {
  expect(await ask(handler, signed(event({ numbers: [] })))).toMatchObject({
    status: 409,
    body: { error: { code: 'conflict', message: 'There is nothing to add up.' } },
  });
});

test('each wrong field of the body is named', async () => {
  const { status, body } = await ask(handler, signed(event({ numbers: [1, 'x', 2.5] })));
  expect([status, body.error.code, body.error.message]).toEqual([
    400,
    'invalid_body',
    'The body is not valid.',
  ]);
  expect(body.error.issues).toEqual([
    { path: 'numbers.1', message: 'Invalid input: expected number, received string' },
    { path: 'numbers.2', message: 'Invalid input: expected int, received number' },
  ]);
});

const payBy = route({
  id: 'test/pay-by',
  method: 'POST',
  path: '/payments',
  summary: 'Pays.',
  who: 'signed',
  body: z.union([
    z.object({
      card: z.object({ number: z.string(), year: z.union([z.int(), z.string().regex(/^\d+$/)]) }),
      fen: z.int(),
    }),
    z.object({ account: z.string(), holder: z.string(), fen: z.int() }),
  ]),
  answers: { 201: z.object({}) },
});
const pay = respond(payBy, () => ({ status: 201, outcome: 'charged', body: {} }), deps);
const payment = (body: unknown) =>
  ask(pay, signed(httpEvent({ method: 'POST', path: '/payments', body })));

const expected = (what: string, received: string) =>
  `Invalid input: expected ${what}, received ${received}`;

test.each([
  [
    { account: '7', holder: 'x', fen: '1' },
    [{ path: 'fen', message: expected('number', 'string') }],
  ],
  [
    { card: { number: '4', year: null }, fen: 1 },
    [
      {
        path: 'card.year',
        message: `${expected('number', 'null')}, or ${expected('string', 'null')}`,
      },
    ],
  ],
  [
    {},
    [
      { path: 'card', message: expected('object', 'undefined') },
      { path: 'fen', message: expected('number', 'undefined') },
    ],
  ],
  [
    { account: '7', fen: 1 },
    [
      {
        path: '',
        message: `card: ${expected('object', 'undefined')}, or holder: ${expected('string', 'undefined')}`,
      },
    ],
  ],
])(
  'the body %j, which fits none of several forms, is answered with the fields of the nearest and what was expected',
  async (body, issues) => {
    expect((await payment({ account: '7', holder: 'x', fen: 1 })).status).toBe(201);
    const answer = await payment(body);
    expect([answer.status, answer.body.error.issues]).toEqual([400, issues]);
  },
);

test('a query that does not fit, and a path that does not', async () => {
  const wrongQuery = signed(event({ numbers: [1] }, { query: 'unit=dollar' }));
  expect(await refused(handler, wrongQuery)).toEqual([400, 'invalid_body']);
  const wrongPath = signed(event({ numbers: [1] }, { id: 'x' }));
  expect(await refused(handler, wrongPath)).toEqual([404, 'not_found']);
});

test.each([
  ['not JSON', '{"numbers": [1'],
  ['empty', undefined],
  ['not UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d])],
])('a body that is %s is refused without quoting it', async (_, body) => {
  const { status, body: answer } = await ask(handler, signed(event(body)));
  expect(status).toBe(400);
  expect(answer.error.code).toBe('invalid_body');
  expect(answer.error.message).toMatch(/^The body is not (JSON|UTF-8)\.$/);
});

test.each([
  ['{"numbers":[1],"numbers":[2]}', 'numbers'],
  ['{"numbers":[1],"numbers":[1]}', 'numbers'],
  ['{"numbers":[1],"more":{"a":1,"\\u0061":2}}', 'a'],
])('a body that has a field twice is refused with its name: %s', async (sent, field) => {
  const { status, body } = await ask(handler, signed(event(sent)));
  expect([status, body.error]).toEqual([
    400,
    {
      code: 'invalid_body',
      message: 'The body has a field twice.',
      issues: [{ path: field, message: 'Expected it once' }],
    },
  ]);
});

test('a body may have 256 kB and not a byte more, however it is encoded', async () => {
  const most = Buffer.from(JSON.stringify({ numbers: [1] }).padEnd(bodyBytesMax));
  expect((await ask(handler, signed(event(most)))).status).toBe(201);
  const { headers } = sum();
  const more = { ...event(Buffer.concat([most, Buffer.from(' ')])), headers };
  expect(await refused(handler, more)).toEqual([413, 'too_large']);
  const wide = { ...event('宽'.repeat(bodyBytesMax / 3 + 1)), headers };
  expect(await refused(handler, wide)).toEqual([413, 'too_large']);
});

const throwing = (error: unknown) =>
  respond(
    addUp,
    () => {
      throw error;
    },
    deps,
  );

test('what is thrown: rejected, postponed, away, and anything else without its text', async () => {
  const rejected = await ask(throwing(new Rejected('never for 7')), sum());
  expect([rejected.status, rejected.body.error]).toEqual([
    400,
    { code: 'invalid_body', message: 'never for 7' },
  ]);
  const until = new Date(Date.now() + 90_000);
  const postponed = await ask(throwing(new Postponed(until, 'the partner sleeps')), sum());
  expect([postponed.status, postponed.body.error.code]).toEqual([503, 'unavailable']);
  expect(Number(postponed.headers['retry-after'])).toBeGreaterThan(80);
  expect(JSON.stringify(postponed.body)).not.toContain('sleeps');
  const other = await ask(throwing(new Error('secret text')), sum());
  expect([other.status, other.body]).toEqual([
    500,
    { error: { code: 'internal', message: 'Something went wrong on our side.' } },
  ]);
});

test('while our database is unavailable: 503 with Retry-After', async () => {
  const port = await freePort('a server that is not there', undefined);
  const SecretString = JSON.stringify({
    host: '127.0.0.1',
    port,
    username: 'a',
    password: 'b',
    ssl: false,
  });
  const client = new SecretsManagerClient(clientOptions(emulator));
  await client.send(new CreateSecretCommand({ Name: 'test/http-away', SecretString }));
  vi.stubEnv('SECRET_MYSQL', 'test/http-away');
  const away = { mysql: mysql<PlatformTables>('mysql') };
  vi.unstubAllEnvs();
  const unreachable = respond(addUp, () => refusal('conflict', 'never reached'), away);
  const { status, headers, body } = await ask(unreachable, sum());
  expect([status, body.error.code, headers['retry-after']]).toEqual([503, 'unavailable', '5']);
});

test('a caller is counted, and refused over the limit until the minute is over', async () => {
  await Promise.all([ask(handler, sum()), ask(handler, sum()), ask(handler, sum())]);
  const counted = await rowsOf(
    'select caller, sum(calls) calls from signalbox.call_rate group by 1',
  );
  expect(counted).toEqual([{ caller: 'upstream:upstream-local', calls: '3' }]);
  await run('update signalbox.call_rate set calls = ?', [callsPerMinuteMax.signed]);
  // Also for the next minute, should it begin just now.
  await run(`insert into signalbox.call_rate select caller, minute + interval 1 minute, calls
    from signalbox.call_rate order by minute desc limit 1`);
  const { status, headers, body } = await ask(handler, sum());
  expect([status, body.error.code]).toEqual([429, 'too_many_requests']);
  expect(Number(headers['retry-after'])).toBeGreaterThan(0);
  expect(Number(headers['retry-after'])).toBeLessThanOrEqual(60);
});

test('counts of an hour ago are forgotten', async () => {
  await run(`insert into signalbox.call_rate values
    ('upstream:old', now() - interval 2 hour, 5), ('upstream:new', now() - interval 5 minute, 5)`);
  await ask(handler, sum());
  const left = await rowsOf('select distinct caller from signalbox.call_rate order by 1');
  expect(left.map(({ caller }) => caller)).toEqual(['upstream:new', 'upstream:upstream-local']);
});

test('a route whose braces and parameters differ, and one for anyone, are mistakes', () => {
  expect(() => route({ ...addUp, path: '/sums/{other}' })).toThrow(
    'test/add-up: /sums/{other} and its `parameters` (id) differ.',
  );
  const open = route({ ...addUp, who: 'anyone' });
  expect(() => respond(open, () => refusal('conflict', 'x'), deps)).toThrow(/open to anyone/);
});
