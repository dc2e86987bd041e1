import { AsyncLocalStorage } from 'node:async_hooks';
import {
  type Answer,
  type Exchange,
  NoResponse,
  type Request,
} from '../../lib/platform/partners/http-exchange.ts';
import type { Raw } from './database.ts';
import type { Fault } from './faults.ts';

/** One invocation of a function in its own execution environment. */
export interface Worker {
  readonly name: string;
  /** The error of the worker's own clock; the clocks of the databases are right. */
  readonly skewMs: number;
  /** The time-out by the simulated clock, at which the worker is killed. */
  readonly endsAtMs: number;
  readonly connections: Set<Raw>;
  /** The sum of its delays at boundaries. */
  heldUpMs: number;
  alive: boolean;
  ended: boolean;
}

/** An effect of a worker on the world, before which it waits for its turn. */
export interface Boundary {
  readonly worker: Worker;
  readonly kind: 'sql' | 'send' | 'http' | 'acknowledge' | 'timer';
  readonly label: string;
  notBeforeMs: number;
  readonly go: (fault: Fault | undefined) => void;
  finished: boolean;
  readonly whenFinished: Promise<void>;
  /** Continues a worker whose statement has waited for a lock and is answered. */
  readonly resume: () => void;
  /** The connection of a SQL statement. */
  readonly connection: Raw | undefined;
  blockedSinceMs: number | undefined;
}

/** The effect of a boundary, and its error if it fails. */
export interface Effect<Result> {
  readonly run: (fault: Fault | undefined) => Promise<Result>;
  /** Returns the error. Called instead of `run` if the effect fails, after it if only the answer is lost. */
  readonly fail: (fault: Fault) => Promise<Error>;
  readonly connection?: Raw;
  /** The least delay from now. */
  readonly afterMs?: number;
}

export interface World {
  nowMs: number;
  /** Boundaries that wait for their turn. */
  readonly waiting: Set<Boundary>;
  /** Boundaries that had their turn and have no answer yet. */
  readonly running: Set<Boundary>;
  readonly workers: Set<Worker>;
  readonly trace: string[];
  /** Until when a database is unavailable to all workers, by role. */
  readonly awayUntilMs: Map<string, number>;
  /** Sessions whose client is frozen or silent, with the time at which the server ends them. */
  readonly orphans: Map<Raw, number>;
  /** `AbortSignal.timeout` of workers: when an invocation ends itself. */
  readonly deadlines: Set<{
    readonly worker: Worker;
    readonly atMs: number;
    readonly abort: () => void;
  }>;
  /** The number of connections that are being opened, in real time. */
  opening: number;
  /** The last opening connection: connections are handed out in request order, so that a seed repeats its run. */
  lastOpened: Promise<unknown>;
}

/** Midnight in Shanghai. A run also crosses midnight UTC. */
export const startMs = Date.parse('2026-03-01T00:00:00+08:00');

export const newWorld = (): World => ({
  nowMs: startMs,
  waiting: new Set(),
  running: new Set(),
  workers: new Set(),
  trace: [],
  awayUntilMs: new Map(),
  orphans: new Map(),
  deadlines: new Set(),
  opening: 0,
  lastOpened: Promise.resolve(),
});

const workerOf = new AsyncLocalStorage<{ readonly world: World; readonly worker: Worker }>();

/** Returns the worker whose invocation runs this code; undefined in the harness. */
export const current = () => workerOf.getStore();

/** Runs work of the harness outside the current worker. */
export const outside = <Result>(work: () => Result): Result => workerOf.exit(work);

const never = <Result>(): Promise<Result> => new Promise(() => {});

/**
 * Waits for the worker's turn, then runs the effect, fails it, or loses its answer. An answer after a lock wait is
 * delayed until `resume`, or real time would decide which worker continues first.
 */
export async function cross<Result>(
  kind: Boundary['kind'],
  label: string,
  effect: Effect<Result>,
  cancel?: (undo: () => void) => void,
): Promise<Result> {
  const here = current();
  if (!here) return await effect.run(undefined);
  const { world, worker } = here;
  if (!worker.alive) return await never();
  const turn = Promise.withResolvers<Fault | undefined>();
  const finished = Promise.withResolvers<void>();
  const resumed = Promise.withResolvers<void>();
  const boundary: Boundary = {
    worker,
    kind,
    label,
    finished: false,
    notBeforeMs: world.nowMs + (effect.afterMs ?? 0),
    go: turn.resolve,
    whenFinished: finished.promise,
    resume: resumed.resolve,
    connection: effect.connection,
    blockedSinceMs: undefined,
  };
  world.waiting.add(boundary);
  cancel?.(() => world.waiting.delete(boundary));
  const fault = await turn.promise;
  const { connection } = effect;
  if (connection && (fault === 'silent' || connection.silence)) {
    if (!connection.silence) await effect.run(fault).catch(() => {});
    connection.silence ??= Promise.withResolvers();
    boundary.finished = true;
    finished.resolve();
    await connection.silence.promise;
    world.running.delete(boundary);
    return await never();
  }
  try {
    if (fault === 'error' || fault === 'conflict') throw await effect.fail(fault);
    const result = await effect.run(fault);
    if (fault === 'lost') throw await effect.fail(fault);
    await finish();
    if (worker.alive) return result;
  } catch (error) {
    await finish();
    if (worker.alive) throw error;
  }
  return await never();

  async function finish(): Promise<void> {
    boundary.finished = true;
    finished.resolve();
    if (boundary.blockedSinceMs !== undefined && worker.alive) await resumed.promise;
    world.running.delete(boundary);
  }
}

/** Runs `work` as this worker. Never resolves if the worker is killed. */
export async function runAs<Result>(
  world: World,
  worker: Worker,
  work: () => Promise<Result>,
): Promise<Result> {
  world.workers.add(worker);
  try {
    return await workerOf.run({ world, worker }, work);
  } finally {
    worker.ended = true;
    world.workers.delete(worker);
  }
}

const thinkingMsMax = 5_000;
const immediate = () => new Promise<void>((done) => setImmediate(done));

/** Waits until every worker is at a boundary or has ended. */
export async function calm(world: World): Promise<void> {
  await immediate();
  const end = performance.now() + thinkingMsMax;
  for (;;) {
    const busy = new Set([...world.waiting, ...world.running].map(({ worker }) => worker));
    const thinking = [...world.workers].filter((worker) => !busy.has(worker));
    if (!thinking.length && !world.opening) return;
    if (performance.now() > end)
      throw new Error(
        `${thinking[0]?.name} waits for something that the simulation does not control.`,
      );
    await immediate();
  }
}

/** Returns an HTTP exchange for `partner(…)` of lib/platform/partners/partner.ts; each request is a boundary. */
export function exchangeWith(answer: (request: Request) => Promise<Answer>): Exchange {
  return (request) =>
    cross('http', `${request.method} ${request.url}`, {
      run: () => answer(request),
      fail: async (fault) => new NoResponse(`simulated: ${fault}`, { sent: fault === 'lost' }),
    });
}

/** Replaces pauses, time-outs and the clock of workers by simulated ones. Returns a function that undoes it. */
export function wrapProcess(): () => void {
  const { setTimeout, clearTimeout } = globalThis;
  const { now } = Date;
  const { timeout } = AbortSignal;
  const undoOf = new WeakMap<object, () => void>();
  const pause = (callback: () => void, ms = 0, ...rest: unknown[]) => {
    if (!current()) return Reflect.apply(setTimeout, undefined, [callback, ms, ...rest]);
    const timer = {};
    const effect = { run: async () => callback(), fail: async () => new Error('not of a pause') };
    void cross('timer', `pause of ${ms} ms`, { ...effect, afterMs: ms }, (undo) =>
      undoOf.set(timer, undo),
    );
    return timer;
  };
  const clear = (timer: unknown) => {
    const undo = typeof timer === 'object' && timer ? undoOf.get(timer) : undefined;
    if (undo) undo();
    else Reflect.apply(clearTimeout, undefined, [timer]);
  };
  const signalAfter = (ms: number) => {
    const here = current();
    if (!here) return Reflect.apply(timeout, AbortSignal, [ms]);
    const { world, worker } = here;
    const controller = new AbortController();
    world.deadlines.add({ worker, atMs: world.nowMs + ms, abort: () => controller.abort() });
    return controller.signal;
  };
  Object.assign(globalThis, { setTimeout: pause, clearTimeout: clear });
  Object.assign(AbortSignal, { timeout: signalAfter });
  Date.now = () => {
    const here = current();
    return here ? here.world.nowMs + here.worker.skewMs : now();
  };
  return () => {
    Object.assign(globalThis, { setTimeout, clearTimeout });
    Object.assign(AbortSignal, { timeout });
    Date.now = now;
  };
}

/** Node's error when no server listens. */
export const refusedConnection = (): Error =>
  Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED', fatal: true });

/** The error of Node and mysql2 when the server closes the connection. */
export const lostConnection = (): Error =>
  Object.assign(new Error('Connection lost: The server closed the connection.'), {
    code: 'PROTOCOL_CONNECTION_LOST',
    fatal: true,
  });
