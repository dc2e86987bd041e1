import type { Databases } from './database.ts';
import { type Fault, faultsAt, type Planned, planned, swarm } from './faults.ts';
import { type Played, play, type Scenario } from './run-scenario.ts';
import type { Boundary } from './world.ts';

/** How many runs were made; a run that breaks a promise throws. */
export interface Runs {
  count: number;
  /** Runs that were not started because the time was over. */
  left: number;
  /** No further run is started once this is true. */
  readonly isOver: () => boolean;
}

export const newRuns = (isOver = () => false): Runs => ({ count: 0, left: 0, isOver });

/** Counts a run that may start, or one that is left out because the time is over. */
function mayStart(runs: Runs): boolean {
  const isOver = runs.isOver();
  if (isOver) runs.left += 1;
  else runs.count += 1;
  return !isOver;
}

/**
 * Every fault at every boundary, one to a run, after a run without any has counted the boundaries. `every` thins them
 * out; it should have no divisor in common with the number of faults a boundary can have. `kinds` says which are tried.
 */
export async function crashSingly(
  databases: Databases,
  scenario: Scenario,
  runs: Runs,
  every = 1,
  kinds: (boundary: Pick<Boundary, 'kind' | 'label'>) => readonly Fault[] = faultsAt,
): Promise<{ plan: Planned; played: Played }[]> {
  runs.count += 1;
  const { boundaries } = await play(databases, scenario, planned([]));
  const singles: { plan: Planned; played: Played }[] = [];
  let turn = 0;
  for (const [index, boundary] of boundaries.entries())
    for (const fault of kinds(boundary)) {
      turn += 1;
      if (turn % every || !mayStart(runs)) continue;
      const plan = { index, fault };
      singles.push({ plan, played: await play(databases, scenario, planned([plan])) });
    }
  return singles;
}

/**
 * Two faults to a run: the second at every later boundary of the run with the first. `every` thins them out evenly;
 * 1 is all of them.
 */
export async function crashInPairs(
  databases: Databases,
  scenario: Scenario,
  singles: Awaited<ReturnType<typeof crashSingly>>,
  runs: Runs,
  every: number,
): Promise<void> {
  let turn = 0;
  for (const { plan, played } of singles)
    for (const [index, boundary] of played.boundaries.entries()) {
      if (index <= plan.index) continue;
      for (const fault of faultsAt(boundary)) {
        turn += 1;
        if (turn % every || !mayStart(runs)) continue;
        await play(databases, scenario, planned([plan, { index, fault }]));
      }
    }
}

/** Seeds `first` to `first + count - 1`. */
export async function swarms(
  databases: Databases,
  scenario: Scenario,
  first: number,
  count: number,
  runs: Runs,
): Promise<void> {
  for (let seed = first; seed < first + count; seed++)
    if (mayStart(runs)) await play(databases, scenario, swarm(seed));
}
