import { randomUUID } from 'node:crypto';
import { signedHeaders } from '../lib/platform/http/signature.ts';
import type { Stack } from './stack.ts';

type Reached = Pick<Stack, 'endpoints'>;

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** What an upstream system says on `broker_event`; as a form where `form` says so. */
export interface Publication {
  readonly broker_ids: string;
  readonly flag: number;
  readonly source?: number;
}

/** Tells the HTTP API, as an upstream system does, what changed. */
export async function postPublish(
  stack: Reached,
  publication: Publication,
  { form = false }: { readonly form?: boolean } = {},
): Promise<Answer> {
  const fields = Object.entries(publication).map(([name, value]): [string, string] => [
    name,
    String(value),
  ]);
  const body = form ? String(new URLSearchParams(fields)) : JSON.stringify(publication);
  const type = form ? 'application/x-www-form-urlencoded' : 'application/json';
  return await ask(stack, 'POST', '/publish?tunnel=broker_event', { body, type });
}

/** Reads a profile as the site does. */
export const getBroker = (stack: Reached, id: number | string): Promise<Answer> =>
  ask(stack, 'GET', `/brokers/${id}`);

/** Asks with a signature of this moment. */
async function ask(
  { endpoints: { api, credentials } }: Reached,
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
