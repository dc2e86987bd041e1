import { expect, test } from 'vitest';
import * as z from 'zod';
import { Refused } from '../../lib/platform/http/refusal.ts';
import { bodyBytesMax, inputsOf, notJson, rawRequestOf } from '../../lib/platform/http/request.ts';
import { route } from '../../lib/platform/http/route.ts';
import { httpEvent } from '../support/http.ts';

const answers = { 200: z.object({}) };
const change = route({
  id: 'test/change',
  method: 'PATCH',
  path: '/things/{id}',
  summary: 'Changes it.',
  who: 'anyone',
  parameters: z.object({ id: z.string().regex(/^\d+$/) }),
  query: z.object({ size: z.coerce.number().optional() }),
  body: z.object({ name: z.string(), at: z.object({ day: z.int() }) }),
  answers,
});
const plain = route({
  id: 'test/show',
  method: 'GET',
  path: '/',
  summary: 'Shows it.',
  who: 'anyone',
  answers,
});
const form = (fields: URLSearchParams) => Object.fromEntries(fields);
const noForm = route({ ...plain, who: 'anyone', body: z.unknown() });
const sent = { ...noForm, form };

const body = '{"name":"可以","at":{"day":1}}';
const good = { path: '/things/7', parameters: { id: '7' }, query: 'size=3', body };

function read(one: Parameters<typeof inputsOf>[0], asked: Parameters<typeof httpEvent>[0]) {
  const event = httpEvent(asked);
  return inputsOf(one, event, rawRequestOf(event));
}

function refusalOf(work: () => unknown) {
  try {
    work();
  } catch (error) {
    if (error instanceof Refused) return error.refusal.body.error;
  }
  throw new Error('It was not refused.');
}

test('a request is what API Gateway says of it', () => {
  const event = httpEvent({ ...good, method: 'PATCH', headers: { accept: '*/*' } });
  expect(rawRequestOf(event)).toEqual({
    method: 'PATCH',
    target: '/things/7?size=3',
    headers: { accept: '*/*' },
    body: Buffer.from(body),
    at: new Date(1_795_226_400_000),
    sourceIp: '192.0.2.1',
  });
  const bare = rawRequestOf(httpEvent({ path: '/x' }));
  expect([bare.target, bare.body]).toEqual(['/x', Buffer.alloc(0)]);
  expect(rawRequestOf(httpEvent({ body: Buffer.from([0xff, 0]) })).body).toEqual(
    Buffer.from([0xff, 0]),
  );
});

test('a body has so many bytes at most, as it was sent', () => {
  expect(rawRequestOf(httpEvent({ body: 'x'.repeat(bodyBytesMax) })).body).toHaveLength(262_144);
  for (const large of ['x'.repeat(bodyBytesMax + 1), '可'.repeat(bodyBytesMax / 2)])
    expect(refusalOf(() => rawRequestOf(httpEvent({ body: large })))).toMatchObject({
      code: 'too_large',
      message: `The body has ${Buffer.byteLength(large)} bytes; at most 262144.`,
    });
});

test('the schemas of a route read parameters, query and body', () => {
  expect(read(change, good)).toEqual({
    parameters: { id: '7' },
    query: { size: 3 },
    body: { name: '可以', at: { day: 1 } },
  });
  expect(read(change, { ...good, query: '' }).query).toEqual({});
  const nothing = { parameters: undefined, query: undefined, body: undefined };
  expect(read(plain, { ...good, body: 'no JSON' })).toEqual(nothing);
});

test.each([{ id: 'x' }, undefined])(
  'what is no parameter of the path is not found: %j',
  (given) => {
    const asked = { ...good, ...(given ? { parameters: given } : { parameters: {} }) };
    expect(refusalOf(() => read(change, asked))).toEqual({
      code: 'not_found',
      message: 'Nothing has such an address.',
    });
    const { parameters: _, ...without } = good;
    expect(refusalOf(() => read(change, without))).toMatchObject({ code: 'not_found' });
  },
);

test('what a schema does not take is named by its path', () => {
  expect(refusalOf(() => read(change, { ...good, body: '{"name":1,"at":{"day":"x"}}' }))).toEqual({
    code: 'invalid_body',
    message: 'The body is not valid.',
    issues: [
      { path: 'name', message: 'Invalid input: expected string, received number' },
      { path: 'at.day', message: 'Invalid input: expected number, received string' },
    ],
  });
  expect(refusalOf(() => read(change, { ...good, query: 'size=x' }))).toMatchObject({
    code: 'invalid_body',
    message: 'The query is not valid.',
    issues: [{ path: 'size' }],
  });
});

test.each([
  ['{', { message: 'The body is not JSON.' }],
  [Buffer.from([0x22, 0xff, 0x22]), { message: 'The body is not UTF-8.' }],
  ['', { message: 'The body is not JSON.' }],
  [
    '{"name":"a","name":"b"}',
    {
      message: 'The body has a field twice.',
      issues: [{ path: 'name', message: 'Expected it once' }],
    },
  ],
])('the body %j is refused', (wrong, says) => {
  const code = 'invalid_body';
  expect(refusalOf(() => read(change, { ...good, body: wrong }))).toEqual({ code, ...says });
});

test('what is no JSON is not quoted', () => {
  const error = new SyntaxError('Unexpected token, "a secret"');
  expect(notJson('POST_data', error).refusal.body.error).toEqual({
    code: 'invalid_body',
    message: 'POST_data is not JSON.',
  });
});

test.each([
  'application/x-www-form-urlencoded',
  'Application/X-WWW-Form-Urlencoded; charset=utf-8',
])('a form is read as one, where a route takes forms: %s', (media) => {
  const asked = { body: 'a=1&b=%20', headers: { 'content-type': media } };
  expect(read(sent, asked).body).toEqual({ a: '1', b: ' ' });
  expect(refusalOf(() => read(noForm, asked)).code).toBe('invalid_body');
  expect(read({ ...sent, bodyMedia: 'text/plain' }, asked).body).toBe('a=1&b=%20');
});

test.each([{}, { 'content-type': 'text/html; was application/x-www-form-urlencoded' }])(
  'a body of another media type is JSON: %j',
  (headers) => {
    expect(read(sent, { body: '{"a":1}', headers }).body).toEqual({ a: 1 });
    expect(refusalOf(() => read(sent, { body: 'a=1', headers })).code).toBe('invalid_body');
  },
);
