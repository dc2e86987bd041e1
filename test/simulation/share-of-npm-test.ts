import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { started, worker } from '../support/started.ts';
import { crashInPairs, crashSingly, newRuns, swarms } from './campaigns.ts';
import { type Databases, openDatabases } from './database.ts';
import { planned, silencesAt } from './faults.ts';
import { type Played, play, type Scenario } from './run-scenario.ts';
import { type Share, shares } from './shares.ts';

/** A generous limit: nothing waits for real time, so only a busy machine needs it. */
const testTimeout = 300_000;

/** Opens the databases of a test file before its tests, and closes them afterwards. */
export function databasesOfFile(): () => Databases {
  vi.setConfig({ testTimeout });
  let databases: Databases | undefined;
  beforeAll(async () => {
    databases = await openDatabases(await started(`mysql-simulation-${worker}`));
  });
  afterAll(async () => await databases?.close());
  return () => {
    if (!databases) throw new Error('The databases are opened before the first test only.');
    return databases;
  };
}

/**
 * Defines the tests of one scenario: its row of the table in shares.ts. `faultless` asserts what else holds for a run
 * without faults.
 */
export function playShareOf(
  scenario: Scenario,
  faultless: (played: Played) => void = () => {},
): void {
  const { name } = scenario;
  const { every, everyPair, everySilence, swarms: count = 0 } = shareOf(name);
  const databases = databasesOfFile();

  if (every)
    test(`${name} keeps its invariants when one in ${every} of all single faults occurs, or a pair of them`, async () => {
      const runs = newRuns();
      const singles = await crashSingly(databases(), scenario, runs, every);
      if (everyPair) await crashInPairs(databases(), scenario, singles, runs, everyPair);
      expect(runs.count).toBeGreaterThan(15);
    });
  else
    test(`${name} keeps its invariants when no fault occurs`, async () => {
      faultless(await play(databases(), scenario, planned([])));
    });

  if (everySilence)
    test(`${name} keeps its invariants when one in ${everySilence} of all connections falls silent, or its process is frozen`, async () => {
      const runs = newRuns();
      await crashSingly(databases(), scenario, runs, everySilence, silencesAt);
      expect(runs.count).toBeGreaterThan(5);
    });

  if (count)
    test(`${name} keeps its invariants in ${count} swarms of faults`, async () => {
      const runs = newRuns();
      await swarms(databases(), scenario, 1, count, runs);
      expect(runs.count).toBe(count);
    });
}

function shareOf(name: string): Share {
  const share = Object.entries(shares).find(([scenario]) => scenario === name)?.[1];
  if (!share) throw new Error(`${name} has no row in shares.ts.`);
  return share;
}
