import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { started } from './started.ts';

const emulator = await started('emulator');

/** What happens to a request on its way: it is changed, its answer is, or the answer is lost after its effect. */
export interface Fault {
  /** Entries (by index) that are held back and reported as refused, by the service or, with `sender`, for our fault. */
  readonly refuse?: readonly number[];
  readonly sender?: boolean;
  readonly loseAnswer?: boolean;
  readonly status?: number;
  /** What the service calls the error of that status; else it throttles. */
  readonly type?: string;
  /** It meets a request for a queue's URL; else one of a batch. */
  readonly ofUrl?: true;
}

/**
 * Stands between a client and the real emulator. Each request takes the next fault of the list; when there is none
 * left, requests pass untouched.
 */
export async function faultyAws(): Promise<{ url: string; faults: Fault[]; close: () => void }> {
  const faults: Fault[] = [];
  const server = createServer((request, response) => void pass(request, response, faults));
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url, faults, close };
}

async function pass(
  request: IncomingMessage,
  response: ServerResponse,
  faults: Fault[],
): Promise<void> {
  let body = '';
  for await (const part of request) body += part;
  const message: Json = JSON.parse(body);
  const entries = message['Entries'] as Json[] | undefined;
  const type = { 'content-type': 'application/x-amz-json-1.0' };
  const meets = message['QueueName'] ? faults[0]?.ofUrl : entries;
  const fault = meets ? (faults.shift() ?? {}) : {};
  if (fault.status) {
    response.writeHead(fault.status, type);
    const { type: __type = 'ThrottlingException' } = fault;
    response.end(JSON.stringify({ __type, message: fault.type ? 'refused' : 'Rate exceeded' }));
    return;
  }
  const refused = new Set(fault.refuse ?? []);
  const kept = entries?.filter((_, index) => !refused.has(index));
  const { url: upstream } = emulator;
  const forwarded: Json = { ...message, ...(kept && { Entries: kept }) };
  if (message['QueueUrl'])
    forwarded['QueueUrl'] = upstream + new URL(String(message['QueueUrl'])).pathname;
  const headers = Object.fromEntries(
    Object.entries(request.headers).filter(([name]) =>
      /^x-amz|^content-type|^authorization/.test(name),
    ),
  ) as Record<string, string>;
  const answer =
    kept?.length === 0
      ? undefined
      : await fetch(upstream, { method: 'POST', headers, body: JSON.stringify(forwarded) });
  if (fault.loseAnswer) return void request.socket.destroy();
  const result = answer ? ((await answer.json()) as Json) : {};
  response.writeHead(answer?.status ?? 200, type);
  response.end(JSON.stringify(withRefusals(message, result, refused, fault.sender === true)));
}

type Json = Record<string, unknown>;

function withRefusals(
  message: Json,
  answer: Json,
  refused: ReadonlySet<number>,
  sender: boolean,
): Json {
  const entries = message['Entries'] as Json[];
  if (!refused.size) return answer;
  if (message['QueueUrl']) {
    const failed = [...refused].map((index) => ({
      Id: entries[index]?.['Id'],
      SenderFault: sender,
      Code: sender ? 'InvalidMessageContents' : 'InternalError',
      Message: 'refused',
    }));
    return { ...answer, Failed: failed };
  }
  const results = [...((answer['Entries'] as Json[] | undefined) ?? [])];
  const all = entries.map((_, index) =>
    refused.has(index)
      ? { ErrorCode: 'InternalFailure', ErrorMessage: 'refused' }
      : results.shift(),
  );
  return { FailedEntryCount: refused.size, Entries: all };
}
