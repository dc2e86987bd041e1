import './silence-logs.ts';

import { expect, test } from 'vitest';
import { swarm } from './faults.ts';
import { play } from './run-scenario.ts';
import { callsOf } from './scenarios/calls.ts';
import { databasesOfFile } from './share-of-npm-test.ts';
import { shares } from './shares.ts';

const databases = databasesOfFile();
const seeds = Array.from({ length: shares['calls-1000'].swarms }, (_, index) => index + 1);

/** `npm run test:full` plays four more seeds, `npm run test:torture -- books` a hundred. */
test.each(seeds)(
  'a thousand calls, seed %i, are neither lost nor doubled, and all books agree to the fen',
  async (seed) => {
    const { injected } = await play(databases(), callsOf(1_000), swarm(seed));
    expect(injected).toBeGreaterThan(100);
  },
);
