import './silence-logs.ts';

import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { hunt } from './bug-bank.ts';
import { planned, swarm } from './faults.ts';
import { type Played, play } from './run-scenario.ts';
import { accounting } from './scenarios/accounting.ts';
import { broker } from './scenarios/broker.ts';
import { call } from './scenarios/call.ts';
import { callsOf } from './scenarios/calls.ts';
import { databasesOfFile } from './share-of-npm-test.ts';

const root = join(import.meta.dirname, '../..');
const databases = databasesOfFile();
const labels = ({ boundaries }: Played) => boundaries.map(({ label }) => label);

test('no SQL uses SYSDATE, which the simulated clock cannot set', () => {
  const files = globSync('{lib,migrations}/**/*.{ts,sql}', { cwd: root });
  expect(files.length).toBeGreaterThan(20);
  expect(files.filter((file) => /sysdate/i.test(readFileSync(join(root, file), 'utf8')))).toEqual(
    [],
  );
});

test('play repeats a run boundary by boundary when the faults are the same', async () => {
  const plan = planned([{ index: 5, fault: 'crash' }]);
  const first = labels(await play(databases(), broker, plan, { exactly: true }));
  expect(first.length).toBeGreaterThan(20);
  expect(labels(await play(databases(), broker, plan, { exactly: true }))).toEqual(first);
});

/**
 * The seeds of `call` and `accounting` have lock waits and deadlocks between workers. They once differed between runs by
 * auto-increment values, by purged or unpurged deleted rows, and by the plan of a statement.
 */
test.each([
  { scenario: callsOf(25), seed: 3 },
  { scenario: call, seed: 53 },
  { scenario: accounting, seed: 3 },
])(
  '$scenario.name with seed $seed gives the same run twice, whatever it left to chance',
  async ({ scenario, seed }) => {
    const run = async () =>
      labels(await play(databases(), scenario, swarm(seed), { exactly: true }));
    const first = await run();
    expect(first.length).toBeGreaterThan(1_000);
    expect(await run()).toEqual(first);
  },
);

test('play throws a Violation when the code has a known mistake', async () => {
  const caught = await hunt(databases().server, 'rule-revised-by-a-late-call');
  expect(caught).toMatchObject({ by: 'call' });
});
