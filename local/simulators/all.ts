import type { Simulator } from './controls.ts';
import { startIdentity } from './identity.ts';
import { startSinger } from './singer.ts';

/** Every partner that runs here; each starts on the port it is given (0: any free one). */
export const simulators = {
  identity: startIdentity,
  singer: startSinger,
} satisfies Record<string, (port?: number) => Promise<Simulator>>;

export type SimulatorName = keyof typeof simulators;

/** The field of a configuration document, and key of the context, that holds a partner's address. */
const fields: Partial<Record<string, string>> = {
  weishop: 'broker_weidian_api',
  payment: 'payment_base_api_url',
  listing: 'listing_api_url',
  k3: 'k3_url',
  singer: 'singer_url',
};

export type Running = Readonly<Record<SimulatorName, Simulator>>;

/** Starts them all. `ports` are those that were asked for. */
export async function startSimulators(
  ports: Partial<Record<SimulatorName, number>> = {},
): Promise<Running> {
  const names = Object.keys(simulators) as SimulatorName[];
  const started = await Promise.all(
    names.map(async (name) => [name, await simulators[name](ports[name] ?? 0)] as const),
  );
  return Object.fromEntries(started) as Running;
}

/** Where each is. */
export const urlsOf = (running: Running): Readonly<Record<SimulatorName, string>> =>
  Object.fromEntries(Object.entries(running).map(([name, { url }]) => [name, url])) as Readonly<
    Record<SimulatorName, string>
  >;

/** What the context of a local deployment says of them. */
export const addressesOf = (running: Running): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(running).flatMap(([name, { url }]) => {
      const field = fields[name];
      return field ? [[field, url]] : [];
    }),
  );
