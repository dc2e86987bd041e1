/** Proxies the HTTP API of the local stack under a fixed address. */
import { readFileSync } from 'node:fs';
import {
  createServer,
  type IncomingMessage,
  type ServerResponse,
  request as send,
} from 'node:http';
import * as z from 'zod';

export interface Api {
  readonly url: string;
  readonly close: () => Promise<void>;
}

/**
 * Starts a proxy that gives the HTTP API its own address. The emulator serves it under a host name that not every
 * resolver finds, or under a longer path. With either a caller's signature would not cover the path that the function
 * sees.
 */
export async function startApi(
  { address, port: emulatorPort }: { address: string; port: number },
  port: number,
): Promise<Api> {
  const { host } = new URL(address);
  const server = createServer((request, response) => pass(request, response, host, emulatorPort));
  await new Promise<void>((listening, failed) => {
    server.once('error', failed).listen(port, '127.0.0.1', listening);
  });
  const close = async () => {
    server.closeAllConnections();
    await new Promise((closed) => server.close(closed));
  };
  return { url: `http://127.0.0.1:${port}`, close };
}

function pass(
  request: IncomingMessage,
  response: ServerResponse,
  host: string,
  port: number,
): void {
  const { method, url: path, headers } = request;
  const onward = send({ host: '127.0.0.1', port, method, path, headers: { ...headers, host } });
  onward.on('response', (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  onward.on('error', () => {
    response.writeHead(502).end();
  });
  request.pipe(onward);
}

/**
 * Returns the address of the HTTP API after a deploy; `outputs` is the file to which the CDK CLI writes the stack
 * outputs.
 */
export function apiAddress(outputs: string): string {
  const said: unknown = JSON.parse(readFileSync(outputs, 'utf8'));
  return Outputs.parse(said)['signalbox-backing'].apiAddress;
}
const Outputs = z.object({ 'signalbox-backing': z.object({ apiAddress: z.url() }) });
