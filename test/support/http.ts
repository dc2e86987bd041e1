import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import type { answer } from '../../lib/platform/http/answer.ts';
import { type RawRequest, rawRequestOf } from '../../lib/platform/http/request.ts';
import { signedHeaders } from '../../lib/platform/http/signature.ts';
import { upstream } from '../../local/secrets.ts';
import { contextOf } from './lambda.ts';

interface Asked {
  readonly method?: string;
  readonly path?: string;
  /** As it stands behind the question mark. */
  readonly query?: string;
  readonly parameters?: Record<string, string>;
  readonly headers?: Record<string, string>;
  /** What is no string and no bytes is sent as JSON; bytes as API Gateway sends them, in base64. */
  readonly body?: unknown;
}

/** An event as API Gateway gives it to a function, of payload format 2.0. */
export function httpEvent(asked: Asked = {}): APIGatewayProxyEventV2 {
  const { method = 'GET', path = '/', query = '', parameters, headers = {}, body } = asked;
  const routeKey = `${method} ${path}`;
  const named = Object.fromEntries(new URLSearchParams(query));
  return {
    version: '2.0',
    routeKey,
    rawPath: path,
    rawQueryString: query,
    headers,
    ...(query && { queryStringParameters: named }),
    ...(parameters && { pathParameters: parameters }),
    requestContext: {
      accountId: '000000000000',
      apiId: 'api',
      domainName: 'api.example.com',
      domainPrefix: 'api',
      http: { method, path, protocol: 'HTTP/1.1', sourceIp: '192.0.2.1', userAgent: 'test' },
      requestId: '00000000-0000-4000-8000-000000000000',
      routeKey,
      stage: '$default',
      time: '21/Nov/2026:02:00:00 +0000',
      timeEpoch: 1_795_226_400_000,
    },
    ...sent(body),
  };
}

function sent(body: unknown): { body?: string; isBase64Encoded: boolean } {
  if (body === undefined) return { isBase64Encoded: false };
  if (Buffer.isBuffer(body)) return { body: body.toString('base64'), isBase64Encoded: true };
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return { body: text, isBase64Encoded: false };
}

let nonces = 0;

interface Stamp {
  readonly by?: { readonly key: string; readonly secret: string };
  readonly ageSeconds?: number;
  readonly nonce?: string;
}

/** An event with a signature of its own nonce, made `ageSeconds` ago. */
export function signed(
  event: APIGatewayProxyEventV2,
  { by = upstream, ageSeconds = 0, nonce = `${process.pid}-${Date.now()}-${nonces++}` }: Stamp = {},
): APIGatewayProxyEventV2 {
  const request: RawRequest = rawRequestOf(event);
  const timestamp = Math.floor(Date.now() / 1000) - ageSeconds;
  return {
    ...event,
    headers: { ...event.headers, ...signedHeaders(by, request, { timestamp, nonce }) },
  };
}

type Handler = ReturnType<typeof answer>;

/** What a handler answers: the status, and the body as JSON. */
export async function ask(handler: Handler, event: APIGatewayProxyEventV2) {
  const { statusCode: status, headers, body = '' } = await handler(event, contextOf());
  return { status, headers: headers as Record<string, string>, body: JSON.parse(body) };
}

/** Status and code of a refusal. */
export async function refused(handler: Handler, event: APIGatewayProxyEventV2) {
  const { status, body } = await ask(handler, event);
  return [status, body.error?.code];
}
