import { expect, test } from 'vitest';
import * as z from 'zod';
import { openApi, routesIn } from '../../lib/platform/http/openapi.ts';
import { route } from '../../lib/platform/http/route.ts';

const shared = z.object({ day: z.iso.date() }).meta({ id: 'Shared' });
const change = route({
  id: 'test/change',
  method: 'PATCH',
  path: '/things/{id}',
  summary: 'Changes it.',
  who: ['signed', 'support'],
  parameters: z.object({ id: z.string().optional() }),
  query: z.object({ after: z.string(), size: z.coerce.number().default(10) }),
  body: z.object({ a: shared, b: z.string().transform((text) => text.split(',')) }),
  answers: { 200: z.object({ version: z.literal(1) }), 202: 'text/csv' },
  refuses: ['conflict', 'unknown_tunnel', 'drawn_today'],
});
const { query: _query, ...withoutQuery } = change;
const { body: _body, ...withoutBody } = change;
const { parameters: _parameters, ...withoutParameters } = change;
const open = route({
  id: 'test/show',
  method: 'GET',
  path: '/things',
  summary: 'Shows all.',
  who: 'anyone',
  answers: { 200: z.object({}) },
});

const operationOf = (one: Parameters<typeof openApi>[0][number]) =>
  openApi([one]).paths[one.path]?.[one.method.toLowerCase()];
const refusal = { 'application/json': { schema: { $ref: '#/components/schemas/Refusal' } } };
const refused = (description: string) => ({ description, content: refusal });
const retried = (description: string) => ({
  description,
  content: refusal,
  headers: { 'Retry-After': { description: 'Seconds.', schema: { type: 'integer', minimum: 1 } } },
});
const text = { type: 'string' };

test('an operation is described as it stands on the wire', () => {
  expect(operationOf(change)).toEqual({
    operationId: 'test/change',
    summary: 'Changes it.',
    tags: ['test'],
    security: [
      { signature: [], signatureKey: [], signatureTimestamp: [], signatureNonce: [] },
      { bearer: ['support'] },
    ],
    parameters: [
      { name: 'id', in: 'path', required: true, schema: text },
      { name: 'after', in: 'query', required: true, schema: text },
      { name: 'size', in: 'query', required: false, schema: { default: 10, type: 'number' } },
    ],
    requestBody: {
      required: true,
      content: {
        'application/json': {
          schema: {
            type: 'object',
            properties: { a: { $ref: '#/components/schemas/Shared' }, b: text },
            required: ['a', 'b'],
          },
        },
      },
    },
    responses: {
      200: {
        description: 'Done.',
        content: {
          'application/json': {
            schema: {
              type: 'object',
              properties: { version: { type: 'number', const: 1 } },
              required: ['version'],
            },
          },
        },
      },
      202: { description: 'Done.', content: { 'text/csv': { schema: text } } },
      400: refused('`invalid_body`'),
      401: refused('`unauthenticated`'),
      403: refused('`forbidden`'),
      404: refused('`not_found` or `unknown_tunnel`'),
      409: refused('`conflict` or `drawn_today`'),
      413: refused('`too_large`'),
      429: retried('`too_many_requests`'),
      500: refused('`internal`'),
      503: retried('`unavailable`'),
    },
  });
});

const statusesOf = (one: Parameters<typeof openApi>[0][number]) =>
  Object.keys(operationOf(one)?.responses ?? {});

test('a route refuses as far as there is something to refuse', () => {
  expect(statusesOf(open)).toEqual(['200', '413', '500', '503']);
  expect(statusesOf({ ...open, who: ['operator'] })).toContain('401');
  for (const one of [withoutQuery, withoutBody]) expect(statusesOf(one)).toContain('400');
  const without = { ...withoutParameters, refuses: [] };
  expect(statusesOf(without)).not.toContain('404');
  expect(operationOf(open)).toMatchObject({ security: [], parameters: [] });
  expect(operationOf(open)).not.toHaveProperty('requestBody');
});

test('a body may be a form, or a text', () => {
  const contentOf = (more: object) => operationOf({ ...change, ...more })?.requestBody?.content;
  const form = (fields: URLSearchParams) => Object.fromEntries(fields);
  const media = 'application/x-www-form-urlencoded';
  const plain = contentOf({});
  expect(contentOf({ form })).toEqual({ ...plain, [media]: plain?.['application/json'] });
  expect(contentOf({ form, formBody: z.string() })).toEqual({
    ...plain,
    [media]: { schema: text },
  });
  expect(contentOf({ bodyMedia: 'text/csv' })).toEqual({ 'text/csv': plain?.['application/json'] });
});

test('the document says what all operations share', () => {
  const { openapi, info, paths, components } = openApi([change, open, { ...open, method: 'POST' }]);
  expect([openapi, info]).toEqual([
    '3.1.0',
    {
      title: 'Signalbox',
      version: '1',
      description:
        'Bodies are JSON in UTF-8, at most 262144 bytes. A refusal has the body {"error": {"code", "message", "issues"?}}.',
    },
  ]);
  expect(Object.entries(paths).map(([path, methods]) => [path, Object.keys(methods)])).toEqual([
    ['/things/{id}', ['patch']],
    ['/things', ['get', 'post']],
  ]);
  expect(components['schemas']).toEqual({
    Shared: {
      type: 'object',
      properties: { day: expect.objectContaining({ type: 'string', format: 'date' }) },
      required: ['day'],
    },
    Refusal: {
      type: 'object',
      properties: {
        error: {
          type: 'object',
          properties: {
            code: { type: 'string', enum: expect.arrayContaining(['invalid_body', 'sold_out']) },
            message: text,
            issues: {
              type: 'array',
              items: {
                type: 'object',
                properties: { path: text, message: text },
                required: ['path', 'message'],
              },
            },
          },
          required: ['code', 'message'],
        },
      },
      required: ['error'],
    },
  });
  expect(components['securitySchemes']).toMatchInlineSnapshot(`
    {
      "bearer": {
        "bearerFormat": "JWT",
        "description": "Of people: an OIDC token whose claim \`roles\` holds one of the roles named.",
        "scheme": "bearer",
        "type": "http",
      },
      "signature": {
        "description": "Of upstream systems: hex HMAC-SHA256 of \`timestamp.nonce.METHOD.path?query.sha256hex(body)\`, with the other three headers. Pattern: \`^[\\da-fA-F]{64}$\`.",
        "in": "header",
        "name": "X-Signalbox-Signature",
        "type": "apiKey",
      },
      "signatureKey": {
        "description": "The name of the key with which a request is signed. Pattern: \`^.{1,100}$\`.",
        "in": "header",
        "name": "X-Signalbox-Key",
        "type": "apiKey",
      },
      "signatureNonce": {
        "description": "Never the same twice with one key. Pattern: \`^[\\w+/=:~-]{1,100}$\`.",
        "in": "header",
        "name": "X-Signalbox-Nonce",
        "type": "apiKey",
      },
      "signatureTimestamp": {
        "description": "When it is signed, in Unix seconds: at most 300 s from our clock. Pattern: \`^\\d{1,12}$\`.",
        "in": "header",
        "name": "X-Signalbox-Timestamp",
        "type": "apiKey",
      },
    }
  `);
  expect(() => openApi([open, open])).toThrow('GET /things is there twice.');
});

test('routes are what has an id and a method, whatever else a module exports', () => {
  const others = { a: null, b: 7, c: { id: 'x' }, d: { method: 'GET' }, e: () => change, f: 'x' };
  expect(routesIn({ change, ...others }, { open })).toEqual([change, open]);
});
