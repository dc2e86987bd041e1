/** Sends changes to the local stack's HTTP API and reads profiles from it. */
import { randomUUID } from 'node:crypto';
import { signedHeaders } from '../lib/platform/http/signature.ts';
import type { Stack } from './stack.ts';

type ApiStack = Pick<Stack, 'endpoints'>;

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** The payload of an upstream system on `broker_event`; sent as a form if `form` is true. */
export interface Publication {
  readonly broker_ids: string;
  readonly flag: number;
  readonly source?: number;
}

/** Posts a change to the HTTP API, as an upstream system does. */
export async function postPublish(
  stack: ApiStack,
  publication: Publication,
  { form = false }: { readonly form?: boolean } = {},
): Promise<Answer> {
  const fields = Object.entries(publication).map(([name, value]): [string, string] => [
    name,
    String(value),
  ]);
  const body = form ? String(new URLSearchParams(fields)) : JSON.stringify(publication);
  const type = form ? 'application/x-www-form-urlencoded' : 'application/json';
  return await request(stack, 'POST', '/publish?tunnel=broker_event', { body, type });
}

/** Reads a profile, as the site does. */
export const getBroker = (stack: ApiStack, id: number | string): Promise<Answer> =>
  request(stack, 'GET', `/brokers/${id}`);

/** Sends a request that is signed with the current time. */
async function request(
  { endpoints: { api, credentials } }: ApiStack,
  method: string,
  target: string,
  { body, type }: { readonly body?: string; readonly type?: string } = {},
): Promise<Answer> {
  const stamp = { timestamp: Math.floor(Date.now() / 1000), nonce: randomUUID() };
  const request = { method, target, ...(body !== undefined && { body }) };
  const headers = {
    ...signedHeaders(credentials.upstream, request, stamp),
    ...(type && { 'content-type': type }),
  };
  const response = await fetch(api + target, { method, headers, ...(body && { body }) });
  return { status: response.status, body: await response.json() };
}
