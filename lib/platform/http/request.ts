/** Reads HTTP requests from API Gateway events and validates their inputs. */
import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import type * as z from 'zod';
import { issuesIn } from '../issues.ts';
import { FieldTwice, jsonIn } from '../json.ts';
import { Refused } from './refusal.ts';
import type { Request, Route } from './route.ts';

/** The maximum size of a body, as it is sent. */
export const bodyBytesMax = 262_144;

/** A request before any validation. */
export interface RawRequest {
  readonly method: string;
  /** The path with the query string, as the signature covers it. API Gateway decodes the escapes of the path. */
  readonly target: string;
  /** Headers by lower-case name. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Buffer;
  readonly at: Date;
  readonly sourceIp: string;
}

/** Converts an event of payload format 2.0. Throws `too_large`. */
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

/**
 * Validates the inputs of a request with the schemas of its route. Throws `invalid_body`, or `not_found` for the path.
 */
export function inputsOf(
  route: Route,
  event: APIGatewayProxyEventV2,
  { body, headers }: RawRequest,
): Pick<Request, 'body' | 'query' | 'parameters'> {
  const parameters = route.parameters?.safeParse(event.pathParameters ?? {});
  if (parameters?.error) throw new Refused('not_found', 'Nothing has such an address.');
  return {
    parameters: parameters?.data,
    query: route.query && parse(route.query, event.queryStringParameters ?? {}, 'query'),
    body: route.body && parse(route.body, contentOf(route, body, headers['content-type']), 'body'),
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

/** Returns the refusal of a text that is not JSON or has a duplicate field. */
export function notJson(what: string, error: unknown): Refused {
  if (!(error instanceof FieldTwice)) return new Refused('invalid_body', `${what} is not JSON.`); // The message of JSON.parse would quote the text.
  const issues = [{ path: error.field, message: 'Expected it once' }];
  return new Refused('invalid_body', `${what} has a field twice.`, { issues });
}

function parse(schema: z.ZodType, value: unknown, what: string): unknown {
  const { data, error } = schema.safeParse(value);
  if (!error) return data;
  throw new Refused('invalid_body', `The ${what} is not valid.`, { issues: issuesIn(error) });
}
