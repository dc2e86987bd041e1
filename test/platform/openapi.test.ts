import { Validator } from '@seriousme/openapi-schema-validator';
import { Template } from 'aws-cdk-lib/assertions';
import { expect, test } from 'vitest';
import * as z from 'zod';
import { handler } from '../../functions/platform/serve-openapi.ts';
import { signalbox } from '../../infra/app.ts';
import { BrokerEvent } from '../../lib/broker/queues.ts';
import { type OpenApi, openApi } from '../../lib/platform/http/openapi.ts';
import { docsPage } from '../../lib/platform/http/openapi-page.ts';
import { route } from '../../lib/platform/http/route.ts';
import { signedHeaders } from '../../lib/platform/http/signature.ts';
import { resourceName } from '../../lib/platform/names.ts';
import { ask, httpEvent } from '../support/http.ts';
import { appNamed, emptyBundles } from '../support/synthesis.ts';

const document: OpenApi = (await ask(handler, httpEvent({ path: '/openapi.json' }))).body;

const operationsOf = ({ paths }: OpenApi) =>
  Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      key: `${method.toUpperCase()} ${path}`,
      ...operation,
    })),
  );

/** Every `$ref` of a document, wherever it stands. */
function refsIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) =>
    key === '$ref' ? [String(inner)] : refsIn(inner),
  );
}

function resolves(whole: OpenApi, ref: string): boolean {
  let at: unknown = whole;
  for (const part of ref.replace(/^#\//, '').split('/'))
    at =
      typeof at === 'object' && at !== null
        ? Object.entries(at).find(([k]) => k === part)?.[1]
        : undefined;
  return at !== undefined;
}

function expectSound(whole: OpenApi): void {
  const operations = operationsOf(whole);
  const ids = operations.map(({ operationId }) => operationId);
  expect(new Set(ids).size).toBe(ids.length);
  expect(refsIn(whole).filter((ref) => !resolves(whole, ref))).toEqual([]);
  const schemes = Object.keys(whole.components['securitySchemes'] as object);
  for (const { key, parameters, responses, security } of operations) {
    const braces = Array.from(key.matchAll(/\{(\w+)\}/g), ([, name]) => name);
    const named = parameters.filter((one) => one.in === 'path').map(({ name }) => name);
    expect(named.toSorted(), key).toEqual(braces.toSorted());
    expect(
      Object.keys(responses).some((status) => Number(status) < 300),
      key,
    ).toBe(true);
    for (const one of security) expect(schemes, key).toContain(Object.keys(one)[0]);
  }
}

test('every route that is deployed is in the document, with the function that answers it, and no other is', () => {
  const app = signalbox(appNamed('openapi', { stage: 'local' }), emptyBundles());
  const deployed = app.node.children.flatMap((stack) => {
    if (!('templateFile' in stack)) return [];
    const template = Template.fromStack(stack as never);
    const integrations = template.findResources('AWS::ApiGatewayV2::Integration');
    const functions = template.findResources('AWS::Lambda::Function');
    return Object.values(template.findResources('AWS::ApiGatewayV2::Route')).map(
      ({ Properties: { RouteKey, Target } }) => {
        const integration = integrations[Target['Fn::Join'][1][1].Ref];
        const [made] = integration?.['Properties'].IntegrationUri['Fn::GetAtt'] ?? [];
        return [RouteKey, functions[made]?.['Properties'].FunctionName];
      },
    );
  });
  expect(deployed.length).toBeGreaterThan(1);
  const described = operationsOf(document).map(({ key, operationId }) => [
    key,
    resourceName(operationId),
  ]);
  expect(described.toSorted()).toEqual(deployed.toSorted());
});

test('a public validator finds nothing wrong with the document', async () => {
  const { valid, errors } = await new Validator().validate(structuredClone(document));
  expect(errors).toBe(undefined);
  expect(valid).toBe(true);
});

test('the public validator is really asked: it finds a planted mistake', async () => {
  const spoilt = structuredClone(document) as { paths: Record<string, unknown> };
  spoilt.paths['/publish'] = { post: { responses: { 200: {} } } };
  expect(await new Validator().validate(spoilt)).toMatchObject({ valid: false });
});

const publish = document.paths['/publish']?.['post'];
const contentOf = (media: string) => publish?.requestBody?.content[media]?.schema;

test('a form may hold the whole message in POST_data, or its fields', () => {
  const { anyOf = [] } = contentOf('application/x-www-form-urlencoded') as {
    anyOf?: { properties: Record<string, object>; required: string[] }[];
  };
  expect(anyOf.map(({ required }) => required)).toEqual([['broker_ids', 'flag'], ['POST_data']]);
  expect(anyOf[1]?.properties['POST_data']).toMatchObject({ contentMediaType: 'application/json' });
});

test('the pattern of ids says what is accepted, up to their number', () => {
  const { properties } = contentOf('application/json') as {
    properties: Record<string, { pattern: string; maxLength: number }>;
  };
  const { pattern = '', maxLength = 0 } = properties['broker_ids'] ?? {};
  const matches = (text: string) => new RegExp(pattern).test(text) && text.length <= maxLength;
  const accepts = (broker_ids: string) => BrokerEvent.safeParse({ broker_ids, flag: 2 }).success;
  const longest = '9223372036854775807';
  for (const text of ['', '0', '01', '1,', ',1', '1 ,2', '-1', '1.5', '1'.repeat(20), 'x'])
    expect([text, matches(text), accepts(text)]).toEqual([text, false, false]);
  for (const ids of [['1'], ['1', '2'], [longest], Array(100).fill(longest)])
    expect([matches(ids.join()), accepts(ids.join())]).toEqual([true, true]);
  const tooMany = Array(101).fill('1').join();
  expect([matches(tooMany), accepts(tooMany)]).toEqual([false, false]);
});

test('path and query parameters say their patterns, constants and maxima', () => {
  const schemaOf = (path: string, method: string) =>
    document.paths[path]?.[method]?.parameters.map(({ name, schema }) => [name, schema]);
  expect(schemaOf('/publish', 'post')).toEqual([
    ['tunnel', { type: 'string', const: 'broker_event' }],
  ]);
  expect(schemaOf('/brokers/{id}', 'get')).toEqual([
    ['id', { type: 'string', pattern: '^[1-9][0-9]{0,18}$', maxLength: 19 }],
  ]);
  expect(schemaOf('/calls/{call_id}', 'get')).toMatchObject([['call_id', { maxLength: 64 }]]);
  expect(document.info['description']).toContain('262144 bytes');
});

test('a signed route names all four headers, and every refusal that is worth a retry says Retry-After', () => {
  const schemes = document.components['securitySchemes'] as Record<
    string,
    { in?: string; name?: string; description: string }
  >;
  const names = Object.keys(publish?.security[0] ?? {}).map((scheme) => schemes[scheme]?.name);
  const headers = signedHeaders({ key: 'k', secret: 's' }, { method: 'POST', target: '/' }, stamp);
  expect(names.map((name) => name?.toLowerCase()).toSorted()).toEqual(
    Object.keys(headers).toSorted(),
  );
  for (const { key, responses, security } of operationsOf(document)) {
    const retried = Object.keys(responses).filter((status) => responses[status]?.headers);
    expect([key, retried]).toEqual([key, security.length ? ['429', '503'] : ['503']]);
  }
});
const stamp = { timestamp: 1, nonce: 'n' };

test('the document is sound', () => {
  expect(document.openapi).toBe('3.1.0');
  expectSound(document);
});

const shared = z.object({ day: z.iso.date() }).meta({ id: 'Shared' });
const show = route({
  id: 'test/show',
  method: 'PATCH',
  path: '/things/{id}',
  summary: 'Changes a <thing>.',
  who: ['signed', 'support'],
  parameters: z.object({ id: z.string().regex(/^\d+$/) }),
  query: z.object({ after: z.string().optional(), size: z.coerce.number().default(10) }),
  body: z.object({ a: shared, b: shared, ids: z.string().transform((text) => text.split(',')) }),
  answers: { 200: z.object({ version: z.int() }), 202: 'text/plain' },
  refuses: ['conflict', 'unknown_tunnel'],
});

test('a route is described with its schemas, who may call it and every way it refuses', () => {
  const whole = openApi([show]);
  expectSound(whole);
  const operation = whole.paths['/things/{id}']?.['patch'];
  expect(operation).toMatchObject({
    operationId: 'test/show',
    tags: ['test'],
    security: [{ signature: [] }, { bearer: ['support'] }],
    requestBody: { required: true },
  });
  expect(
    operation?.parameters.map(({ name, in: place, required }) => [name, place, required]),
  ).toEqual([
    ['id', 'path', true],
    ['after', 'query', false],
    ['size', 'query', false],
  ]);
  const codes = Object.entries(operation?.responses ?? {}).map(([status, { description }]) => [
    Number(status),
    description,
  ]);
  expect(codes).toEqual([
    [200, 'Done.'],
    [202, 'Done.'],
    [400, '`invalid_body`'],
    [401, '`unauthenticated`'],
    [403, '`forbidden`'],
    [404, '`not_found` or `unknown_tunnel`'],
    [409, '`conflict`'],
    [413, '`too_large`'],
    [429, '`too_many_requests`'],
    [500, '`internal`'],
    [503, '`unavailable`'],
  ]);
});

test('two routes with one address are a mistake', () => {
  expect(() => openApi([show, show])).toThrow('PATCH /things/{id} is there twice.');
});

test('the page shows what the document says, and its text is text', () => {
  const page = docsPage(openApi([show]));
  expect(page).toContain('<h2>PATCH /things/{id}</h2>');
  expect(page).toContain('Changes a &lt;thing&gt;.');
  expect(page).toContain('a signature, or a token with the role support');
  expect(page).toContain('`conflict`');
  expect(page).not.toMatch(/<script|src=|https?:\/\//);
});
