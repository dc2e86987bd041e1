import './quiet.ts';

import { afterAll, expect, test, vi } from 'vitest';
import { serverOfWorker } from '../support/databases.ts';
import { openDatabases } from './database.ts';
import { swarm } from './faults.ts';
import { play } from './play.ts';
import { callsOf } from './scenarios/calls.ts';

const databases = await openDatabases(serverOfWorker());
afterAll(databases.close);
vi.setConfig({ testTimeout: 600_000 }); // Only a machine with much else to do takes so long.

/** 5,000 calls; `npm run test:torture -- books` has 100,000, and `npm run simulate -- --scenario calls-1000` any number. */
test.each([1, 2, 3, 4, 5])(
  'a thousand calls, seed %i: none lost, none doubled, all books agree to the fen',
  async (seed) => {
    const { injected } = await play(databases, callsOf(1_000), swarm(seed));
    expect(injected).toBeGreaterThan(100);
  },
);
