/** Starts the simulators of all partners. */
import type { Simulator } from './controls.ts';
import { startIdentity } from './identity.ts';
import { startK3 } from './k3.ts';
import { startListing } from './listing.ts';
import { startPayment } from './payment.ts';
import { startSinger } from './singer.ts';
import { startWeishop } from './weishop.ts';

/** The simulators of all partners. Each starts on the given port (0: any free one). */
export const simulators = {
  identity: startIdentity,
  payment: startPayment,
  listing: startListing,
  k3: startK3,
  weishop: startWeishop,
  singer: startSinger,
} satisfies Record<string, (port?: number) => Promise<Simulator>>;

export type SimulatorName = keyof typeof simulators;

/** The field of a configuration document, and the context key, with the address of a partner. */
const fields: Partial<Record<string, string>> = {
  weishop: 'broker_weidian_api',
  payment: 'payment_base_api_url',
  listing: 'listing_api_url',
  k3: 'k3_url',
  singer: 'singer_url',
};

export type Running = Readonly<Record<SimulatorName, Simulator>>;

/** Starts all simulators, on the requested `ports`. */
export async function startSimulators(
  ports: Partial<Record<SimulatorName, number>> = {},
): Promise<Running> {
  const names = Object.keys(simulators) as SimulatorName[];
  const started = await Promise.all(
    names.map(async (name) => [name, await simulators[name](ports[name] ?? 0)] as const),
  );
  return Object.fromEntries(started) as Running;
}

/** Returns the URL of each simulator. */
export const urlsOf = (running: Running): Readonly<Record<SimulatorName, string>> =>
  Object.fromEntries(Object.entries(running).map(([name, { url }]) => [name, url])) as Readonly<
    Record<SimulatorName, string>
  >;

/** Returns the partner addresses for the context of a local deployment. */
export const addressesOf = (running: Running): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(running).flatMap(([name, { url }]) => {
      const field = fields[name];
      return field ? [[field, url]] : [];
    }),
  );
