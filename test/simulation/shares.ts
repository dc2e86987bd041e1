/** The runs of one scenario in `npm test`, besides its run without faults. */
export interface Share {
  /** One in this many single faults is run; should be coprime to the number of faults of a boundary. */
  readonly every?: number;
  /** One in this many pairs of such a fault with a later one is run. */
  readonly everyPair?: number;
  readonly swarms?: number;
  /** One in this many silent connections and frozen processes is run. */
  readonly everySilence?: number;
  /** Seconds of its test file in a worker of `npm test`, with two workers on two idle cores, imports included. */
  readonly seconds: number;
}

/** The workers' time that `npm test` may spend on the simulation; `npm run test:full` runs the rest. */
export const budgetSeconds = 150;

/**
 * Divides the budget among the scenarios. The numbers of runs are fixed, so a commit has the same runs on any machine;
 * measure the seconds again after changing them.
 */
export const shares = {
  accounting: { every: 19, everyPair: 2000, swarms: 3, seconds: 7 },
  broker: { every: 25, everyPair: 2000, everySilence: 29, swarms: 4, seconds: 10 },
  'broker-upstream-away': { swarms: 2, seconds: 4 },
  extensions: { every: 37, everyPair: 2000, swarms: 2, seconds: 6 },
  everything: { every: 13, everyPair: 2000, swarms: 3, seconds: 4 },
  call: { every: 23, everyPair: 2000, everySilence: 41, swarms: 5, seconds: 5 },
  'calls-1000': { swarms: 1, seconds: 40 },
  jobs: { every: 1, everyPair: 2000, everySilence: 1, swarms: 6, seconds: 3 },
  listings: { every: 5, everyPair: 2000, swarms: 4, seconds: 3 },
  outbox: { every: 5, everyPair: 2000, everySilence: 7, swarms: 5, seconds: 5 },
  http: { every: 5, everyPair: 2000, swarms: 4, seconds: 3 },
  postponed: { every: 29, everyPair: 2000, swarms: 6, seconds: 5 },
  'profile-reads': { every: 19, everyPair: 2000, swarms: 3, seconds: 5 },
  'profile-reads-away': { seconds: 5 },
  pushes: { every: 11, everyPair: 2000, swarms: 5, seconds: 6 },
  binlog: { every: 17, everyPair: 2000, swarms: 3, seconds: 8 },
  'claims-2': { swarms: 10, seconds: 2 },
  'claims-20': { swarms: 1, seconds: 5 },
  burst: { seconds: 2 },
  silence: { everySilence: 1, swarms: 4, seconds: 2 },
  'outage-3-days': { swarms: 1, seconds: 3 },
  'outage-13-days': { seconds: 2 },
  /** determinism.test.ts: each run twice, and one known mistake. */
  determinism: { seconds: 14 },
} satisfies Record<string, Share>;
