import type { SimulatorName } from '../../local/simulators/all.ts';
import { workerServers } from './started.ts';

const { simulators } = await workerServers();

type Json = Record<string, unknown>;

/** A partner's simulator of this worker, with its controls in hand. */
export function partnerOf(name: SimulatorName) {
  const url = simulators[name];
  const ask = async (path: string, body?: unknown): Promise<Json> => {
    const post = body !== undefined && { method: 'POST', body: JSON.stringify(body) };
    const response = await fetch(url + path, post || {});
    return (await response.json()) as Json;
  };
  return {
    url,
    ask,
    state: async <State>() => (await ask('/__state')) as State,
    calls: async () => (await ask('/__calls'))['calls'] as string[],
    reset: () => ask('/__reset', {}),
    fault: (mode: string, times = 1, path = '/') => ask('/__faults', { path, mode, times }),
  };
}
