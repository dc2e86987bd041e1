import type { Databases } from './database.ts';
import { type Outcome, outcomeIn, simulated } from './lanes.ts';
import type { Scenario } from './run-scenario.ts';
import { scenarios } from './scenarios/all.ts';
import { shares } from './shares.ts';

/** The work of one process of test/simulation/simulate.ts: one kind of faults of one scenario. */
export interface Part {
  readonly title: string;
  readonly args: readonly string[];
}

/** Scenarios whose runs take seconds and have thousands of boundaries: only one in this many single faults is run. */
const thinned: Readonly<Record<string, number>> = { burst: 31, 'profile-reads-away': 397 };
/** Scenarios whose swarms take longest, which come after all others. */
const slow = ['claims-20', 'profile-reads-away'];
const swarmsEach = 200;
const longSwarms = 5;

const regular = scenarios
  .filter(({ long }) => !long)
  .toSorted((a, b) => slow.indexOf(a.name) - slow.indexOf(b.name));

export const everySingleFault: readonly Part[] = regular.map(({ name }) => {
  const thin = thinned[name] ?? 1;
  return {
    title: `${name}: ${thin === 1 ? 'every single fault' : `one in ${thin} of all single faults`}`,
    args: ['--scenario', name, '--crashes', '0', '--thin', String(thin)],
  };
});

const swarmsOf = ({ name }: Scenario, from: number, count: number): Part => ({
  title: `${name}: swarms ${from} to ${from + count - 1}`,
  args: ['--scenario', name, '--from', String(from), '--runs', String(count)],
});

/** The seeds of long scenarios that `npm test` leaves out. */
export const longScenarios: readonly Part[] = scenarios
  .filter(({ long }) => long)
  .map((scenario) => {
    const played = shares['calls-1000'].swarms;
    return swarmsOf(scenario, played + 1, longSwarms - played);
  });

/** 200 swarms of each scenario, in two halves so that no scenario waits for all swarms of another. */
export const swarmHalves: readonly (readonly Part[])[] = [1, swarmsEach / 2 + 1].map((from) =>
  regular.map((scenario) => swarmsOf(scenario, from, swarmsEach / 2)),
);

export async function playPart(
  server: Databases['server'],
  { args }: Part,
  more: readonly string[] = [],
): Promise<Outcome> {
  return outcomeIn(await simulated(server, [...args, ...more]));
}
