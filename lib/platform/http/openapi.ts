/** Describes routes as an OpenAPI document. */
import * as z from 'zod';
import { type RefusalCode, refusalStatuses } from './refusal.ts';
import { bodyBytesMax, formMedia } from './request.ts';
import type { Route } from './route.ts';
import { signatureFormats, windowSeconds } from './signature-formats.ts';

type Json = Readonly<Record<string, unknown>>;

/** The part of an operation that the documentation page and tests read. */
export interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly tags: readonly string[];
  readonly security: readonly Readonly<Record<string, readonly string[]>>[];
  readonly parameters: readonly {
    readonly name: string;
    readonly in: string;
    readonly required: boolean;
    readonly schema: Json;
  }[];
  readonly requestBody?: Content & { readonly required: true };
  readonly responses: Readonly<Record<string, Response>>;
}

interface Response extends Content {
  readonly description: string;
  readonly headers?: Readonly<
    Record<string, { readonly description: string; readonly schema: Json }>
  >;
}

interface Content {
  readonly content: Readonly<Record<string, { readonly schema: Json }>>;
}

/** An OpenAPI document. It is a type, not an interface, because it must be assignable to a JSON value. */
export type OpenApi = {
  readonly openapi: '3.1.0';
  readonly info: Json;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: Json;
};

/** Returns the routes among the exports of modules `lib/<domain>/routes.ts`. */
export const routesIn = (...modules: readonly object[]): Route[] =>
  modules.flatMap((module) => Object.values(module).filter(isRoute));

const isRoute = (value: unknown): value is Route =>
  typeof value === 'object' && value !== null && 'id' in value && 'method' in value;

/**
 * Describes routes as OpenAPI 3.1, from the schemas that check them. Throws if two routes have the same address.
 * https://spec.openapis.org/oas/v3.1.0
 */
export function openApi(routes: readonly Route[]): OpenApi {
  const paths: Record<string, Record<string, Operation>> = {};
  const schemas: Record<string, Json> = {};
  for (const route of routes) {
    const operations = paths[route.path] ?? {};
    paths[route.path] = operations;
    const method = route.method.toLowerCase();
    if (operations[method]) throw new Error(`${route.method} ${route.path} is there twice.`);
    operations[method] = operationOf(route, schemas);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Signalbox',
      version: '1',
      description: `Bodies are JSON in UTF-8, at most ${bodyBytesMax} bytes. A refusal has the body {"error": {"code", "message", "issues"?}}.`,
    },
    paths,
    components: {
      schemas: { ...schemas, Refusal: schemaOf(RefusalBody, schemas) },
      securitySchemes,
    },
  };
}

const RefusalBody = z.object({
  error: z.object({
    code: z.enum(Object.keys(refusalStatuses)),
    message: z.string(),
    issues: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
  }),
});

const header = (name: string, format: RegExp, description: string) => ({
  type: 'apiKey',
  in: 'header',
  name,
  description: `${description} Pattern: \`${format.source}\`.`,
});

const securitySchemes = {
  signature: header(
    'X-Signalbox-Signature',
    signatureFormats.signature,
    'Of upstream systems: hex HMAC-SHA256 of `timestamp.nonce.METHOD.path?query.sha256hex(body)`, with the other three headers.',
  ),
  signatureKey: header(
    'X-Signalbox-Key',
    signatureFormats.key,
    'The name of the key with which a request is signed.',
  ),
  signatureTimestamp: header(
    'X-Signalbox-Timestamp',
    signatureFormats.timestamp,
    `When it is signed, in Unix seconds: at most ${windowSeconds} s from our clock.`,
  ),
  signatureNonce: header(
    'X-Signalbox-Nonce',
    signatureFormats.nonce,
    'Never the same twice with one key.',
  ),
  bearer: {
    type: 'http',
    scheme: 'bearer',
    bearerFormat: 'JWT',
    description: 'Of people: an OIDC token whose claim `roles` holds one of the roles named.',
  },
};

/** A signed request needs all four headers. */
const signed = {
  signature: [],
  signatureKey: [],
  signatureTimestamp: [],
  signatureNonce: [],
};

function operationOf(route: Route, schemas: Record<string, Json>): Operation {
  const { id, summary, who, answers } = route;
  const successes = Object.entries(answers).map(
    ([status, answer]) =>
      [status, { description: 'Done.', ...contentOf(schemas, answer) }] as const,
  );
  return {
    operationId: id,
    summary,
    tags: [id.slice(0, id.indexOf('/'))],
    security: who.map((one) => (one === 'signed' ? signed : { bearer: [one] })),
    parameters: [
      ...parametersOf(schemas, 'path', route.parameters),
      ...parametersOf(schemas, 'query', route.query),
    ],
    ...(route.body && {
      requestBody: { required: true, content: bodyOf(schemas, route, route.body) },
    }),
    responses: { ...Object.fromEntries(successes), ...refusalsOf(route) },
  };
}

const contentOf = (
  schemas: Record<string, Json>,
  answer: z.ZodType | string,
  media = 'application/json',
): Content =>
  typeof answer === 'string'
    ? { content: { [answer]: { schema: { type: 'string' } } } }
    : { content: { [media]: { schema: schemaOf(answer, schemas) } } };

function bodyOf(
  schemas: Record<string, Json>,
  { bodyMedia, form, formBody }: Route,
  body: z.ZodType,
): Content['content'] {
  const { content } = contentOf(schemas, body, bodyMedia);
  return form
    ? { ...content, ...contentOf(schemas, formBody ?? body, formMedia).content }
    : content;
}

/**
 * Returns the JSON Schema of the input of a Zod schema, as it is sent, not of its parsed output. Schemas with an id
 * are added to `schemas`, which the whole document shares.
 */
function schemaOf(schema: z.ZodType, schemas: Record<string, Json>): Json {
  const jsonSchema = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  const text = JSON.stringify(jsonSchema).replaceAll('"#/$defs/', '"#/components/schemas/');
  const { $schema: _, $defs, ...rest } = JSON.parse(text);
  for (const [name, { id: _id, ...shared }] of Object.entries<Json>($defs ?? {}))
    schemas[name] = shared;
  return rest;
}

function parametersOf(
  schemas: Record<string, Json>,
  place: 'path' | 'query',
  object: z.ZodObject | undefined,
) {
  if (!object) return [];
  const { properties = {}, required = [] } = schemaOf(object, schemas) as {
    properties?: Record<string, Json>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, schema]) => ({
    name,
    in: place,
    required: place === 'path' || required.includes(name),
    schema,
  }));
}

/** The header that says after how many seconds a retry makes sense. */
const retryAfter = {
  'Retry-After': { description: 'Seconds.', schema: { type: 'integer', minimum: 1 } },
};
const retryStatuses: readonly string[] = [
  refusalStatuses.too_many_requests,
  refusalStatuses.unavailable,
].map(String);

/** Returns the refusals of the handler and of the platform, grouped by status. */
function refusalsOf({ who, query, body, refuses = [], parameters }: Route) {
  const codes: RefusalCode[] = [
    ...(query || body ? (['invalid_body'] as const) : []),
    ...(who.length ? (['unauthenticated', 'forbidden', 'too_many_requests'] as const) : []),
    ...(parameters ? (['not_found'] as const) : []),
    ...refuses,
    'too_large',
    'internal',
    'unavailable',
  ];
  const byStatus = Object.groupBy(new Set(codes), (code) => refusalStatuses[code]);
  return Object.fromEntries(
    Object.entries(byStatus).map(([status, named = []]) => [
      status,
      {
        description: named.map((code) => `\`${code}\``).join(' or '),
        ...(retryStatuses.includes(status) && { headers: retryAfter }),
        content: { 'application/json': { schema: { $ref: '#/components/schemas/Refusal' } } },
      },
    ]),
  );
}
