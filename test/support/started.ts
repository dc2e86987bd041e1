import { get, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { inject } from 'vitest';
import type { Started, WorkerServers } from './servers.ts';

/** Asks the starter (servers.ts). Not by `fetch`, which gives up after five minutes: a first installation takes longer. */
async function ask(path: string): Promise<IncomingMessage> {
  const response = await new Promise<IncomingMessage>((answered, failed) => {
    get(inject('starter') + path, answered).on('error', failed);
  });
  if (response.statusCode === 200) return response;
  throw new Error(`${path} did not start: ${await text(response)}`);
}

/** Starts a server of this test run, unless it runs already, and waits until it is up. */
export async function started<Name extends keyof Started>(name: Name): Promise<Started[Name]> {
  return JSON.parse(await text(await ask(`/${name}`))) as Started[Name];
}

/** The number of this worker, from 1; two test files that run at once have different ones. */
export const worker = Number(process.env['VITEST_POOL_ID'] ?? 1);

/** What the component tests of this worker work with. */
export const workerServers = (): Promise<WorkerServers> => started(`worker-${worker}`);

/**
 * Waits until no other test file holds `name`, then holds it until the returned function is called or this process
 * ends.
 */
export async function exclusively(name: string): Promise<() => void> {
  const response = await ask(`/exclusively/${name}`); // The end of its connection releases.
  return () => void response.destroy();
}
