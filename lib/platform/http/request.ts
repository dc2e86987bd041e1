import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import type * as z from 'zod';
import { issuesIn } from '../issues.ts';
import { FieldTwice, jsonIn } from '../json.ts';
import { Refused } from './refusal.ts';
import type { Request, Route } from './route.ts';

/** Of a body as it was sent. */
export const bodyBytesMax = 262_144;

/** A request as it came, before anything of it is believed. */
export interface RawRequest {
  readonly method: string;
  /** With the query string, as it is signed. API Gateway gives the path with its escapes decoded. */
  readonly target: string;
  /** By names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Buffer;
  readonly at: Date;
  readonly sourceIp: string;
}

/** Reads an event of payload format 2.0. Throws `too_large`. */
export function rawRequestOf(event: APIGatewayProxyEventV2): RawRequest {
  const { rawPath, rawQueryString, requestContext } = event;
  const body = Buffer.from(event.body ?? '', event.isBase64Encoded ? 'base64' : 'utf8');
  if (body.length > bodyBytesMax)
    throw new Refused('too_large', `The body has ${body.length} bytes; at most ${bodyBytesMax}.`);
  return {
    method: requestContext.http.method,
    target: rawQueryString ? `${rawPath}?${rawQueryString}` : rawPath,
    headers: event.headers,
    body,
    at: new Date(requestContext.timeEpoch),
    sourceIp: requestContext.http.sourceIp,
  };
}

/** Reads what a request says with the route's schemas. Throws `invalid_body` and, for the path, `not_found`. */
export function inputsOf(
  route: Route,
  event: APIGatewayProxyEventV2,
  { body, headers }: RawRequest,
): Pick<Request, 'body' | 'query' | 'parameters'> {
  const parameters = route.parameters?.safeParse(event.pathParameters ?? {});
  if (parameters?.error) throw new Refused('not_found', 'Nothing has such an address.');
  return {
    parameters: parameters?.data,
    query: route.query && parsed(route.query, event.queryStringParameters ?? {}, 'query'),
    body: route.body && parsed(route.body, contentOf(route, body, headers['content-type']), 'body'),
  };
}

/** https://url.spec.whatwg.org/#application/x-www-form-urlencoded */
export const formMedia = 'application/x-www-form-urlencoded';

function contentOf(route: Route, body: Buffer, media = ''): unknown {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    throw new Refused('invalid_body', 'The body is not UTF-8.');
  }
  if (route.bodyMedia) return text;
  if (route.form && media.toLowerCase().startsWith(formMedia))
    return route.form(new URLSearchParams(text));
  try {
    return jsonIn(text);
  } catch (error) {
    throw notJson('The body', error);
  }
}

/** Why a text is refused that is no JSON, or has a field twice. */
export function notJson(what: string, error: unknown): Refused {
  if (!(error instanceof FieldTwice)) return new Refused('invalid_body', `${what} is not JSON.`); // JSON.parse's own text would quote it.
  const issues = [{ path: error.field, message: 'Expected it once' }];
  return new Refused('invalid_body', `${what} has a field twice.`, { issues });
}

function parsed(schema: z.ZodType, value: unknown, what: string): unknown {
  const { data, error } = schema.safeParse(value);
  if (!error) return data;
  throw new Refused('invalid_body', `The ${what} is not valid.`, { issues: issuesIn(error) });
}
