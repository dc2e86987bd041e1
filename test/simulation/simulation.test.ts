import './quiet.ts';

import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test, vi } from 'vitest';
import { root } from '../../local/stack.ts';
import { serverOfWorker } from '../support/databases.ts';
import { hunt } from './bug-bank.ts';
import { crashInPairs, crashSingly, swarms } from './campaigns.ts';
import { openDatabases } from './database.ts';
import { planned, silencesAt, swarm } from './faults.ts';
import { type Played, play } from './play.ts';
import { accounting } from './scenarios/accounting.ts';
import { binlog } from './scenarios/binlog.ts';
import { broker, brokerUpstreamAway } from './scenarios/broker.ts';
import { burstOf } from './scenarios/burst.ts';
import { call } from './scenarios/call.ts';
import { callsOf } from './scenarios/calls.ts';
import { claimsOf } from './scenarios/claims.ts';
import { everything } from './scenarios/everything.ts';
import { extensions } from './scenarios/extensions.ts';
import { jobsDone } from './scenarios/jobs.ts';
import { listings } from './scenarios/listings.ts';
import { outageOf, silence } from './scenarios/outage.ts';
import { http, outbox } from './scenarios/outbox.ts';
import { postponed } from './scenarios/postponed.ts';
import { profileReads, profileReadsAway } from './scenarios/profile-reads.ts';
import { pushes } from './scenarios/pushes.ts';

const databases = await openDatabases(serverOfWorker());
afterAll(databases.close);

test('no SQL asks for SYSDATE, which no simulated clock can move', () => {
  const files = globSync('{lib,migrations}/**/*.{ts,sql}', { cwd: root });
  expect(files.length).toBeGreaterThan(20);
  expect(files.filter((file) => /sysdate/i.test(readFileSync(join(root, file), 'utf8')))).toEqual(
    [],
  );
});

test('the same faults give the same run, boundary by boundary', async () => {
  const labels = ({ boundaries }: Played) => boundaries.map(({ label }) => label);
  const plan = planned([{ index: 5, fault: 'crash' }]);
  const first = labels(await play(databases, broker, plan));
  expect(first.length).toBeGreaterThan(20);
  expect(labels(await play(databases, broker, plan))).toEqual(first);
});

test('the same seed gives the same run, whatever it left to chance', async () => {
  const labels = ({ boundaries }: Played) => boundaries.map(({ label }) => label);
  const numbers = /\b82\d{10}\b/g; // Of charges: they go on from run to run.
  const run = async () =>
    labels(await play(databases, callsOf(25), swarm(3))).map((label) =>
      label.replaceAll(numbers, 'id'),
    );
  const first = await run();
  expect(first.length).toBeGreaterThan(1_000);
  expect(await run()).toEqual(first);
});

/** Nothing here waits for real time: only a machine with much else to do takes so long. */
vi.setConfig({ testTimeout: 300_000 });

/** How far apart the pairs are that are tried here; `npm run test:torture` tries more. */
const everyPair = 2000;

test.each([
  { scenario: jobsDone, every: 1 },
  { scenario: outbox, every: 5 },
  { scenario: http, every: 5 },
  { scenario: postponed, every: 13 },
  { scenario: broker, every: 13 },
  { scenario: profileReads, every: 13 },
  { scenario: extensions, every: 23 },
  { scenario: everything, every: 11 },
  { scenario: accounting, every: 11 },
  { scenario: listings, every: 5 },
  { scenario: pushes, every: 7 },
  { scenario: binlog, every: 11 },
  { scenario: call, every: 23 },
])(
  '$scenario.name: one in $every of all single faults, and some pairs',
  async ({ scenario, every }) => {
    const runs = { count: 0 };
    const singles = await crashSingly(databases, scenario, runs, every);
    await crashInPairs(databases, scenario, singles, runs, everyPair);
    expect(runs.count).toBeGreaterThan(15);
  },
);

test.each([
  { scenario: silence, every: 1 },
  { scenario: jobsDone, every: 1 },
  { scenario: outbox, every: 7 },
  { scenario: broker, every: 17 },
  { scenario: call, every: 29 },
])(
  '$scenario.name: one in $every of all connections that fall silent and processes that are frozen',
  async ({ scenario, every }) => {
    const runs = { count: 0 };
    await crashSingly(databases, scenario, runs, every, silencesAt);
    expect(runs.count).toBeGreaterThan(5);
  },
);

test('in an outage of three days every message waits, and 25 minutes after it none does', async () => {
  const { injected } = await play(databases, outageOf(3), planned([]));
  expect(injected).toBe(0);
  await swarms(databases, outageOf(3), 1, 2, { count: 0 });
});

test('in an outage of thirteen days what has waited for twelve is set aside with its reason', async () => {
  await play(databases, outageOf(13), planned([]));
});

test.each([
  { scenario: silence, seeds: 6 },
  { scenario: broker, seeds: 4 },
  { scenario: extensions, seeds: 2 },
  { scenario: everything, seeds: 3 },
  { scenario: accounting, seeds: 3 },
  { scenario: listings, seeds: 4 },
  { scenario: call, seeds: 5 },
  { scenario: jobsDone, seeds: 6 },
  { scenario: outbox, seeds: 5 },
  { scenario: http, seeds: 4 },
  { scenario: postponed, seeds: 10 },
  { scenario: profileReads, seeds: 3 },
  { scenario: pushes, seeds: 6 },
  { scenario: binlog, seeds: 4 },
  { scenario: claimsOf(2), seeds: 10 },
  { scenario: claimsOf(20), seeds: 1 },
])('$scenario.name: $seeds swarms', async ({ scenario, seeds }) => {
  const runs = { count: 0 };
  await swarms(databases, scenario, 1, seeds, runs);
  expect(runs.count).toBe(seeds);
});

test('what falls due together is delivered without a burst', async () => {
  const { injected } = await play(databases, burstOf(300, 120), planned([]));
  expect(injected).toBe(0);
});

test('while upstream MySQL is away for a minute, runs fail, and nothing is lost', async () => {
  const { failed } = await play(databases, brokerUpstreamAway, planned([]));
  expect(failed).toBeGreaterThan(0);
  await swarms(databases, brokerUpstreamAway, 1, 2, { count: 0 });
});

test('while the cache is away for ten minutes, and when it fails over, nothing is shown too late', async () => {
  const { injected } = await play(databases, profileReadsAway, planned([]));
  expect(injected).toBe(0);
});

test('a known mistake is found', async () => {
  const caught = await hunt(databases.server, 'rule-revised-by-a-late-call');
  expect(caught).toMatchObject({ by: 'call' });
});
