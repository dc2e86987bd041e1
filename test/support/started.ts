import { inject } from 'vitest';
import type { Started, WorkerServers } from './servers.ts';

async function ask(path: string): Promise<Response> {
  const response = await fetch(inject('starter') + path);
  if (!response.ok) throw new Error(`${path} did not start: ${await response.text()}`);
  return response;
}

/** Starts a server of this test run, unless it runs already, and waits until it is up. */
export async function started<Name extends keyof Started>(name: Name): Promise<Started[Name]> {
  return (await (await ask(`/${name}`)).json()) as Started[Name];
}

/** The number of this worker, from 1; two test files that run at once have different ones. */
export const worker = Number(process.env['VITEST_POOL_ID'] ?? 1);

/** What the component tests of this worker work with. */
export const workerServers = (): Promise<WorkerServers> => started(`worker-${worker}`);

/**
 * Waits until no other test file holds `name`, then holds it until the returned function is called or this process
 * ends.
 */
export async function exclusively(name: string): Promise<() => Promise<void>> {
  const response = await ask(`/exclusively/${name}`); // Its body stays open: the end of the connection releases.
  return async () => await response.body?.cancel();
}
