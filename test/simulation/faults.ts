import { type Random, randomOf } from './random.ts';
import { type Boundary, startMs } from './world.ts';

/**
 * - crash: the worker crashes before the effect, and its connections break
 * - lost: the effect happens, but the caller gets an error
 * - error: no effect, and the caller gets an error
 * - conflict: MySQL chooses this transaction as a deadlock's victim (only SQL in a transaction)
 * - silent: the effect happens, but the connection gets no answer any more (only SQL)
 * - frozen: the invocation times out with its process: its transactions stay open until the server ends them (only SQL)
 * - part: SQS refuses the first message of a batch and takes the others (only sends)
 */
type Failure = 'crash' | 'lost' | 'error' | 'conflict' | 'part';
type Silence = 'silent' | 'frozen';
export type Fault = Failure | Silence;

/** The faults of a run, and all its other random choices. */
export interface Faults {
  /** The option of `npm run simulate` that repeats the run. */
  readonly replay: string;
  readonly random: Random;
  /** Without random choices, for runs whose boundaries are counted. */
  readonly exact: boolean;
  readonly faultOf: (boundary: Boundary, index: number) => Fault | undefined;
  readonly delayMs: (boundary: Boundary) => number;
  /** Which of `count` possible next steps is taken. */
  readonly pick: (count: number) => number;
  /** The delay after which an acknowledged message is delivered again, if it is. */
  readonly duplicateAfterMs: () => number | undefined;
  readonly messageDelayMs: () => number;
  readonly skewMs: () => number;
  readonly atOnce: number;
  readonly visibilitySeconds: number;
  /** The number of receives after which SQS dead-letters a message. */
  readonly receivesMax: number;
  /** No fault happens after this time. */
  readonly untilMs: number;
  /** Every message is delivered again 28 days after all is done. */
  readonly day28: boolean;
  /** Random numbers that set kill switches in this run; undefined in most runs. */
  readonly switching: Random | undefined;
}

const kindsOf: Readonly<Record<Boundary['kind'], readonly Failure[]>> = {
  sql: ['crash', 'lost', 'error', 'conflict'],
  send: ['crash', 'lost', 'error', 'part'],
  http: ['crash', 'lost', 'error'],
  acknowledge: ['crash'],
  timer: [],
};

/** Returns the possible faults of a boundary. A conflict needs a transaction, and never happens at its commit. */
export const faultsAt = ({ kind, label }: Pick<Boundary, 'kind' | 'label'>): readonly Failure[] =>
  kindsOf[kind].filter((fault) => fault !== 'conflict' || isConflicting(label));

/** Returns the faults of silence, apart from the others because each takes as long as a session's time limit. */
export const silencesAt = ({ kind }: Pick<Boundary, 'kind' | 'label'>): readonly Silence[] =>
  kind === 'sql' ? ['silent', 'frozen'] : [];

const isConflicting = (sql: string) => /^\s*(insert|update|delete)|for update/i.test(sql);

export interface Planned {
  readonly index: number;
  readonly fault: Fault;
}

/** Returns exactly these faults, at the boundaries with these numbers, and no other randomness. */
export function planned(plan: readonly Planned[]): Faults {
  const faults = new Map(plan.map(({ index, fault }) => [index, fault]));
  const random = randomOf(1);
  return {
    replay: `--faults ${plan.map(({ index, fault }) => `${index}:${fault}`).join(',') || 'none'}`,
    random,
    exact: true,
    faultOf: (_, index) => faults.get(index),
    delayMs: () => 0,
    pick: () => 0,
    duplicateAfterMs: () => undefined,
    messageDelayMs: () => 0,
    skewMs: () => 0,
    atOnce: 1,
    visibilitySeconds: 60,
    receivesMax,
    untilMs: startMs,
    day28: false,
    switching: undefined,
  };
}

/** infra/constructs/queues.ts. */
const receivesMax = 1_000;
const skewMsMax = 300_000;
const faultyMs = 900_000;
const longDelayMsMax = 12_000;
const silenceRateMax = 0.02;

/** Chooses silences for one seed in four, with its own random numbers, so that all other choices stay the same. */
function silenceOf(seed: number) {
  const random = randomOf(seed + 1_000_003);
  const [silent, frozen] = random.happens(0.25)
    ? [random.next() * silenceRateMax, random.next() * silenceRateMax]
    : [0, 0];
  return { random, rates: { silent, frozen } };
}

/** Chooses kill switches for one seed in four, with its own random numbers, so that all other choices stay the same. */
function switchingOf(seed: number): Random | undefined {
  const random = randomOf(seed + 2_000_016);
  return random.happens(0.25) ? random : undefined;
}

/** Returns the faults of a swarm: the seed chooses which kinds of fault occur, then their rates, then each fault. */
export function swarm(seed: number): Faults {
  const random = randomOf(seed);
  const some = (most: number) => (random.happens(0.5) ? random.next() * most : 0);
  const rates = {
    duplicate: some(0.5),
    lost: some(0.3),
    error: some(0.1),
    crash: some(0.05),
    conflict: some(0.05),
    part: some(0.2),
    delay: some(0.2),
    messageDelay: some(0.5),
  };
  const silence = silenceOf(seed);
  const reorder = random.happens(0.7);
  const skewed = random.happens(0.5);
  return {
    replay: `--seed ${seed}`,
    random,
    exact: false,
    faultOf: (boundary) =>
      faultsAt(boundary).find((fault) => rates[fault] && random.happens(rates[fault])) ??
      silencesAt(boundary).find((fault) => silence.random.happens(silence.rates[fault])),
    delayMs: () => (random.happens(rates.delay) ? random.between(1, longDelayMsMax) : 0),
    pick: (count) => (reorder ? random.between(0, count - 1) : 0),
    duplicateAfterMs: () =>
      random.happens(rates.duplicate) ? random.between(0, 600_000) : undefined,
    messageDelayMs: () => (random.happens(rates.messageDelay) ? random.between(0, 900_000) : 0),
    skewMs: () => (skewed ? random.between(-skewMsMax, skewMsMax) : 0),
    atOnce: random.between(1, 3),
    // 5 s is shorter than the consumer's time-out, so a message comes again while the first worker processes it.
    ...(random.happens(0.5)
      ? { visibilitySeconds: 60, receivesMax }
      : { visibilitySeconds: 5, receivesMax: receivesMax * 12 }),
    untilMs: startMs + faultyMs,
    day28: random.happens(0.3),
    switching: switchingOf(seed),
  };
}
