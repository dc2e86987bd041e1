import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import {
  brotliCompressSync,
  deflateRawSync,
  deflateSync,
  gzipSync,
  zstdCompressSync,
} from 'node:zlib';
import { afterAll, beforeEach, expect, test } from 'vitest';
import * as z from 'zod';
import { isUnavailable, PartnerUnavailable, Postponed } from '../../lib/platform/errors.ts';
import { pooledExchange } from '../../lib/platform/partners/http-exchange.ts';
import {
  type Call,
  type PartnerOptions,
  partner,
  postponed,
  postponeIfUnavailable,
} from '../../lib/platform/partners/partner.ts';
import { freePort } from '../../local/ports.ts';
import { until } from '../../local/processes.ts';

interface Seen {
  readonly line: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

type Behaviour = (response: ServerResponse, request: IncomingMessage) => void;

/** What the server does with the requests to come, one after the other, and then for ever. */
let behaviours: Behaviour[] = [];
let seen: Seen[] = [];
const open = new Set<Socket>();
let connections = 0;

const server = createServer(async (request, response) => {
  let body = '';
  for await (const part of request) body += part;
  seen.push({ line: `${request.method} ${request.url}`, headers: request.headers, body });
  const behaviour = behaviours.length > 1 ? behaviours.shift() : behaviours[0];
  behaviour?.(response, request);
});
server.on('connection', (socket) => {
  connections += 1;
  open.add(socket);
  socket.on('close', () => open.delete(socket));
});
await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

beforeEach(() => {
  behaviours = [json({ code: 0 })];
  seen = [];
});
afterAll(() => {
  for (const socket of open) socket.destroy();
  server.close();
});

function json(value: unknown, status = 200): Behaviour {
  return (response) => response.writeHead(status).end(JSON.stringify(value));
}
const html: Behaviour = (response) =>
  response.writeHead(200, { 'content-type': 'text/html' }).end('<html>13812345678</html>');
const hangs: Behaviour = () => {};
const losesTheAnswer: Behaviour = (_, request) => request.socket.destroy();
const cutsTheAnswer: Behaviour = (response, request) => {
  response.writeHead(200, { 'content-length': '100' }).write('{"code":0');
  request.socket.end();
};
const cutsAtOnceButWhole: Behaviour = (response, request) => {
  response.writeHead(200).write('{"code":');
  request.socket.destroySoon();
};

const Code = z.object({ code: z.int() });
const options = {
  name: 'payment',
  baseUrl,
  timeoutMs: 3_000,
  retry: { attemptsMax: 3, delayMs: 1 },
};
const deduct = { method: 'POST', path: '/deduct', json: { amount: 1 }, answer: Code } as const;
const statement = { method: 'GET', path: '/statement', answer: Code } as const;

async function awayOf(call: Call<unknown>, more: Partial<PartnerOptions> = {}) {
  const error = await partner({ ...options, ...more })(call).catch((thrown: unknown) => thrown);
  if (error instanceof PartnerUnavailable) return error;
  throw new Error('The partner was not away.', { cause: error });
}

test('sends compact JSON and gives the answer, whatever its content type', async () => {
  behaviours = [
    (response) =>
      response.writeHead(200, { 'content-type': 'text/plain' }).end('{"code":0,"more":1}'),
  ];
  const call = { ...deduct, query: { access_token: 'a b', n: 1 }, headers: { 'x-extra': 'y' } };
  expect(await partner(options)(call)).toEqual({ code: 0 });
  expect(seen).toMatchObject([
    {
      line: 'POST /deduct?access_token=a+b&n=1',
      headers: { 'content-type': 'application/json', accept: 'application/json', 'x-extra': 'y' },
      body: '{"amount":1}',
    },
  ]);
});

test('sends a text as it is, bytes too, below a base URL with a path that may change', async () => {
  const bases = [`${baseUrl}/one/`, `${baseUrl}/two`];
  const ask = partner({ ...options, baseUrl: async () => bases.shift() ?? '' });
  const { json: _, ...bare } = deduct;
  await ask({ ...bare, body: { type: 'text/x', content: '{"signed": 1}' } });
  await ask({ ...bare, body: { type: 'image/png', content: Buffer.from('图') } });
  expect(seen.map(({ line, body }) => [line, body])).toEqual([
    ['POST /one/deduct', '{"signed": 1}'],
    ['POST /two/deduct', '图'],
  ]);
});

test('ids beyond 2^53 come as decimal strings, numbers as numbers', async () => {
  behaviours = [(response) => response.end('{"id":9007199254740993,"small":12,"part":1.5}')];
  const answer = z.object({ id: z.string(), small: z.number(), part: z.number() });
  expect(await partner(options)({ ...statement, answer })).toEqual({
    id: '9007199254740993',
    small: 12,
    part: 1.5,
  });
});

const encoded = (encoding: string | undefined, body: Buffer): Behaviour => {
  return (response) =>
    response.writeHead(200, encoding ? { 'content-encoding': encoding } : {}).end(body);
};
const plain = Buffer.from('{"code":7}');

test.each([
  ['a byte-order mark', undefined, Buffer.from('\ufeff{"code":7}')],
  ['UTF-16, low byte first', undefined, Buffer.from('\ufeff{"code":7}', 'utf16le')],
  ['UTF-16, high byte first', undefined, Buffer.from('\ufeff{"code":7}', 'utf16le').swap16()],
  ['gzip', 'gzip', gzipSync(plain)],
  ['gzip and a byte-order mark', 'GZIP', gzipSync('\ufeff{"code":7}')],
  ['gzip under its old name', 'x-gzip', gzipSync(plain)],
  ['gzip that no header names', undefined, gzipSync(plain)],
  ['a header of gzip that is none', 'gzip', plain],
  ['deflate', 'deflate', deflateSync(plain)],
  ['deflate without its header', 'deflate', deflateRawSync(plain)],
  ['brotli', 'br', brotliCompressSync(plain)],
  ['zstd', 'zstd', zstdCompressSync(plain)],
  ['two encodings', 'gzip, br', brotliCompressSync(gzipSync(plain))],
  ['identity', 'identity', plain],
])('an answer with %s is read', async (_, encoding, body) => {
  behaviours = [encoded(encoding, body)];
  expect(await partner(options)(deduct)).toEqual({ code: 7 });
  expect(seen).toHaveLength(1);
});

test.each([
  ['of an encoding that nobody knows', encoded('compress', plain), 'unknown content-encoding'],
  ['of damaged gzip', encoded('gzip', gzipSync(plain).subarray(0, 20)), 'could not be decoded'],
  ['that unpacks to more than its limit', encoded('gzip', gzipSync(' '.repeat(60_000))), 'decoded'],
])('an answer %s is none, and may have had its effect', async (_, behaviour, why) => {
  behaviours = [behaviour];
  const { effect, message } = await awayOf(deduct, { answerBytesMax: 50_000 });
  expect(effect).toBe('possible');
  expect(message).toContain(why);
});

test('an answer about something else than what was asked about is none, whatever it says', async () => {
  const about = { number: 'C-1', id: 7 };
  behaviours = [json({ code: 0, number: 'C-1', id: '7' }), json({ code: 4001, number: 'c-1' })];
  expect(await partner(options)({ ...deduct, about })).toEqual({ code: 0 });
  const { effect, message } = await awayOf({ ...deduct, about });
  expect([effect, message]).toEqual([
    'possible',
    expect.stringContaining('it answered 200 about number c-1'),
  ]);
  behaviours = [json({ code: 3, number: null })];
  expect(await partner(options)({ ...deduct, about })).toEqual({ code: 3 });
});

test('a refusal in the partner’s form is an answer, below 500 with any status', async () => {
  behaviours = [json({ code: 4001 }), json({ code: 4004 }, 404)];
  expect(await partner(options)(deduct)).toEqual({ code: 4001 });
  expect(await partner(options)(deduct)).toEqual({ code: 4004 });
  expect(seen).toHaveLength(2);
});

test('connections are kept', async () => {
  const ask = partner(options);
  await ask(deduct);
  const before = connections;
  for (let index = 0; index < 20; index++) await ask(deduct);
  // One is still busy with the end of an answer when the next request comes: then there are two, and no more.
  expect(connections - before).toBeLessThanOrEqual(1);
});

test.each([
  ['hangs', hangs, 'no answer after 200 ms'],
  ['loses the answer', losesTheAnswer, 'other side closed'],
  ['cuts the answer', cutsTheAnswer, 'other side closed'],
  ['cuts an answer of no given length', cutsAtOnceButWhole, 'other side closed'],
  ['answers HTML', html, 'it answered 200 without JSON'],
  ['answers nothing', (response: ServerResponse) => response.end(), 'it answered 200 without JSON'],
  ['answers in another form', json({ ok: true }), 'it answered 200 in another form: code: '],
  ['answers 500', json({ code: 0 }, 500), 'it answered 500'],
])(
  'a partner that %s is away, and may have done what it was asked: asked once',
  async (_, behaviour, why) => {
    behaviours = [behaviour];
    const away = await awayOf(deduct, behaviour === hangs ? { timeoutMs: 200 } : {});
    expect(away.message).toContain(`payment is unavailable: POST ${baseUrl}/deduct: ${why}`);
    expect(away.message).not.toContain('138');
    expect([away.partner, away.effect]).toEqual(['payment', 'possible']);
    expect(seen).toHaveLength(1);
  },
);

test('what reads, and what may be repeated, is tried again up to the limit', async () => {
  behaviours = [losesTheAnswer, html, json({ code: 0 })];
  expect(await partner(options)(statement)).toEqual({ code: 0 });
  expect(seen).toHaveLength(3);
  behaviours = [losesTheAnswer, json({ code: 7 }, 503), json({ code: 0 })];
  expect(await partner(options)({ ...deduct, repeatable: true })).toEqual({ code: 0 });
  expect(new Set(seen.slice(3).map(({ body }) => body))).toEqual(new Set(['{"amount":1}']));
  behaviours = [html];
  await awayOf(statement);
  expect(seen).toHaveLength(9);
});

test('where nobody listens nothing was done: it is tried again, and is no database of ours being away', async () => {
  const port = await freePort('a server that is not there', undefined);
  const away = await awayOf(deduct, { baseUrl: `http://127.0.0.1:${port}` });
  expect(away.effect).toBe('none');
  expect(away.message).toContain('ECONNREFUSED');
  expect(isUnavailable(away)).toBe(false);
  expect(isUnavailable(new Error('outer', { cause: away }))).toBe(false);
  setTimeout(() => server2.listen(port, '127.0.0.1'), 20);
  const server2 = createServer((_, response) => response.end('{"code":0}'));
  const retry = { attemptsMax: 8, delayMs: 5 };
  const ask = partner({ ...options, baseUrl: `http://127.0.0.1:${port}`, retry });
  expect(await ask(deduct)).toEqual({ code: 0 });
  server2.close();
});

test('a refusal for now (429) did nothing', async () => {
  behaviours = [json({ code: 1 }, 429), json({ code: 0 })];
  expect(await partner(options)(deduct)).toEqual({ code: 0 });
  behaviours = [json({ code: 1 }, 429)];
  expect((await awayOf(deduct)).effect).toBe('none');
});

test('a request that waited for a connection until its time was over is never sent', async () => {
  behaviours = [hangs];
  const exchange = pooledExchange();
  const ask = partner({ ...options, timeoutMs: 1_000 }, exchange);
  const slow = Array.from({ length: 10 }, () => ask(deduct).catch((error: unknown) => error));
  await until('ten requests hang', () => seen.length === 10);
  const short = { ...options, timeoutMs: 20, retry: { attemptsMax: 1, delayMs: 1 } };
  const queued = partner(short, exchange)({ ...deduct, path: '/queued' });
  await expect(queued).rejects.toMatchObject({ name: 'PartnerUnavailable', effect: 'none' });
  await Promise.all(slow);
  behaviours = [json({ code: 0 })];
  expect(await ask({ ...deduct, path: '/last' })).toEqual({ code: 0 });
  expect(seen.at(-1)?.line).toBe('POST /last');
  expect(seen.map(({ line }) => line)).not.toContain('POST /queued');
});

test('an answer over the limit is not read to its end', async () => {
  let written = 0;
  behaviours = [
    (response, { socket }) => {
      const more = () => {
        while (!socket.destroyed && response.write(' '.repeat(10_000))) written += 10_000;
      };
      response.on('drain', more);
      more();
    },
  ];
  const away = await awayOf({ ...deduct, answer: z.unknown() }, {
    answerBytesMax: 50_000,
    timeoutMs: 5000,
  } as never);
  expect(away.message).toContain('its answer is over 50000 bytes');
  await until('its connection is closed', () => open.size === 0 || written < 100_000_000);
});

test('tokens and personal data in the URL are in no error', async () => {
  behaviours = [html];
  const query = {
    access_token: 'top-secret',
    openid: 'oABCD1234efgh_5678-ijklMNOPq',
    phone: '13812345678',
  };
  const { message } = await awayOf({ ...statement, query });
  expect(message).toContain('/statement?access_token=***&openid=o****NOPq&phone=138****5678: ');
});

test('what needs a partner that is away is put off, for 1 to 30 minutes', async () => {
  const away = new PartnerUnavailable('payment', 'possible', 'no answer');
  const now = new Date('2026-11-21T02:00:00Z');
  const minutes = [0, 1, 2, 3, 4, 5, 6, 7, 5000].map(
    (attempts) => (postponed(away, attempts, now).until.getTime() - now.getTime()) / 60_000,
  );
  expect(minutes).toEqual([1, 1, 2, 4, 8, 16, 30, 30, 30]);
  const thrown = await postponeIfUnavailable(
    2,
    () => Promise.reject(away),
    () => now,
  ).catch((error: unknown) => error);
  expect(thrown).toBeInstanceOf(Postponed);
  expect(thrown).toMatchObject({
    until: new Date('2026-11-21T02:02:00Z'),
    cause: away,
    heldBy: undefined,
  });
  const other = new Error('other');
  await expect(postponeIfUnavailable(2, () => Promise.reject(other))).rejects.toBe(other);
  expect(await postponeIfUnavailable(2, async () => 'done')).toBe('done');
});
