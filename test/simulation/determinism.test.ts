import './quiet.ts';

import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { hunt } from './bug-bank.ts';
import { planned, swarm } from './faults.ts';
import { type Played, play } from './play.ts';
import { broker } from './scenarios/broker.ts';
import { call } from './scenarios/call.ts';
import { callsOf } from './scenarios/calls.ts';
import { databasesOfFile } from './share-of-npm-test.ts';

const root = join(import.meta.dirname, '../..');
const databases = databasesOfFile();
const labels = ({ boundaries }: Played) => boundaries.map(({ label }) => label);

test('no SQL asks for SYSDATE, which no simulated clock can move', () => {
  const files = globSync('{lib,migrations}/**/*.{ts,sql}', { cwd: root });
  expect(files.length).toBeGreaterThan(20);
  expect(files.filter((file) => /sysdate/i.test(readFileSync(join(root, file), 'utf8')))).toEqual(
    [],
  );
});

test('the same faults give the same run, boundary by boundary', async () => {
  const plan = planned([{ index: 5, fault: 'crash' }]);
  const first = labels(await play(databases(), broker, plan));
  expect(first.length).toBeGreaterThan(20);
  expect(labels(await play(databases(), broker, plan))).toEqual(first);
});

/** That of `call` is a seed in which workers wait for each other's locks, also in a circle. */
test.each([
  { scenario: callsOf(25), seed: 3 },
  { scenario: call, seed: 53 },
])(
  '$scenario.name with seed $seed gives the same run twice, whatever it left to chance',
  async ({ scenario, seed }) => {
    const numbers = /\b82\d{10}\b|(?<=\/trade\/)\d+/g; // Of charges: they continue from run to run.
    const run = async () =>
      labels(await play(databases(), scenario, swarm(seed))).map((label) =>
        label.replaceAll(numbers, 'id'),
      );
    const first = await run();
    expect(first.length).toBeGreaterThan(1_000);
    expect(await run()).toEqual(first);
  },
);

test('a known mistake is found', async () => {
  const caught = await hunt(databases().server, 'rule-revised-by-a-late-call');
  expect(caught).toMatchObject({ by: 'call' });
});
