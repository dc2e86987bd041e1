import type { SimulatorName } from '../../local/simulators/all.ts';
import { workerServers } from './started.ts';

const { simulators } = await workerServers();

/** The controls of this worker's own simulator of a partner. */
export function simulatorOf(name: SimulatorName) {
  const url = simulators[name];
  const post = async (path: string, body: unknown = {}): Promise<void> => {
    const { status } = await fetch(url + path, { method: 'POST', body: JSON.stringify(body) });
    if (status !== 200) throw new Error(`${name} answered ${status} to ${path}.`);
  };
  return {
    url,
    post,
    reset: () => post('/__reset'),
    fault: (mode: string, times: number) => post('/__faults', { mode, times }),
    state: async () => (await (await fetch(`${url}/__state`)).json()) as Record<string, unknown>,
  };
}
