import type { Databases } from './database.ts';
import { type Fault, faultsAt, type Planned, planned, swarm } from './faults.ts';
import { type Played, play, type Scenario } from './run-scenario.ts';
import type { Boundary } from './world.ts';

/** Counts runs; a run that breaks an invariant throws. */
export interface Runs {
  count: number;
  /** Runs that were not started because the time limit was reached. */
  left: number;
  /** No further run is started once this is true. */
  readonly isOver: () => boolean;
}

export const newRuns = (isOver = () => false): Runs => ({ count: 0, left: 0, isOver });

/** Counts a run, as started or as left out, and returns whether it may start. */
function mayStart(runs: Runs): boolean {
  const isOver = runs.isOver();
  if (isOver) runs.left += 1;
  else runs.count += 1;
  return !isOver;
}

/**
 * Runs every fault at every boundary, one in each run, after a run without faults has counted the boundaries. Only one
 * in `every` is run; it should be coprime to the number of faults that a boundary can have. `kinds` returns the faults.
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
 * Runs pairs of faults: the second at every later boundary of the run with the first. Only one in `every` is run.
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

/** Runs the swarms of the seeds `first` to `first + count - 1`. */
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
