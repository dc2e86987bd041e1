import { AsyncLocalStorage } from 'node:async_hooks';
import {
  type Answer,
  type Exchange,
  NoResponse,
  type Request,
} from '../../lib/platform/partners/http-exchange.ts';
import type { Raw } from './database.ts';
import type { Fault } from './faults.ts';

/** One invocation of a function in an execution environment of its own. */
export interface Worker {
  readonly name: string;
  /** How far its own clock is off; the databases' clocks are not its. */
  readonly skewMs: number;
  /** Its time-out by the simulated clock: then it is killed. */
  readonly endsAtMs: number;
  readonly connections: Set<Raw>;
  /** For how long it was held up, at all of its boundaries. */
  heldUpMs: number;
  alive: boolean;
  ended: boolean;
}

/** A place where a worker touches the world: it waits there for its turn. */
export interface Boundary {
  readonly worker: Worker;
  readonly kind: 'sql' | 'send' | 'http' | 'acknowledge' | 'timer';
  readonly label: string;
  notBeforeMs: number;
  readonly go: (fault: Fault | undefined) => void;
  finished: boolean;
  readonly whenFinished: Promise<void>;
  /** Lets a worker continue whose statement waited for a lock and has been answered. */
  readonly resume: () => void;
  /** The connection whose statement it is, which may come to wait for a lock. */
  readonly connection: Raw | undefined;
  blockedSinceMs: number | undefined;
}

/** What happens at a boundary when it is passed, and what is thrown when it goes wrong. */
export interface Effect<Result> {
  readonly run: (fault: Fault | undefined) => Promise<Result>;
  /** Called before `run` for an effect that shall not come about, after it for an answer that is lost. */
  readonly fail: (fault: Fault) => Promise<Error>;
  readonly connection?: Raw;
  /** Its turn comes no earlier than this, from now. */
  readonly afterMs?: number;
}

export interface World {
  nowMs: number;
  /** Boundaries whose turn has not come. */
  readonly waiting: Set<Boundary>;
  /** Those whose turn has come and whose answer is still out. */
  readonly running: Set<Boundary>;
  readonly workers: Set<Worker>;
  readonly trace: string[];
  /** Until when a database cannot be reached by any worker, by the role of its user. */
  readonly awayUntilMs: Map<string, number>;
  /** Sessions at a server whose client is frozen or cannot be heard, and when the server ends them by itself. */
  readonly orphans: Map<Raw, number>;
  /** `AbortSignal.timeout` of workers: when an invocation ends itself. */
  readonly deadlines: Set<{
    readonly worker: Worker;
    readonly atMs: number;
    readonly abort: () => void;
  }>;
  /** Connections that are just being opened, in real time. */
  opening: number;
  /** They are handed out in the order in which they were asked for, or no seed gives the same run again. */
  lastOpened: Promise<unknown>;
}

/** Midnight in Shanghai: a run also crosses the hour at which days change in UTC. */
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

/** The worker in whose invocation this code runs; none in the harness itself. */
export const current = () => workerOf.getStore();

/** Runs the harness's own work without being taken for a worker's. */
export const outside = <Result>(work: () => Result): Result => workerOf.exit(work);

const never = <Result>(): Promise<Result> => new Promise(() => {});

/**
 * Waits for the worker's turn, then lets the effect come about, or not, or only its answer not. An answer after a wait
 * for a lock is held back until `resume`: otherwise real time would decide which worker continues first.
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

/** Runs `work` as this worker; resolves when it has ended, and never when the worker died before. */
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

/** Waits until every worker stands at a boundary or has ended: nothing else can happen by itself. */
export async function calm(world: World): Promise<void> {
  await immediate();
  const end = performance.now() + thinkingMsMax;
  for (;;) {
    const busy = new Set([...world.waiting, ...world.running].map(({ worker }) => worker));
    const thinking = [...world.workers].filter((worker) => !busy.has(worker));
    if (!thinking.length && !world.opening) return;
    if (performance.now() > end)
      throw new Error(`${thinking[0]?.name} waits for something that is not wrapped.`);
    await immediate();
  }
}

/** What `partner(…)` of lib/platform/partners/partner.ts gets as its line to the world: each request is a boundary. */
export function exchangeWith(answer: (request: Request) => Promise<Answer>): Exchange {
  return (request) =>
    cross('http', `${request.method} ${request.url}`, {
      run: () => answer(request),
      fail: async (fault) => new NoResponse(`simulated: ${fault}`, { sent: fault === 'lost' }),
    });
}

/** Pauses, time-outs and the clock of a worker are the simulated ones. */
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

/** As Node says it when nobody listens. */
export const refusedConnection = (): Error =>
  Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED', fatal: true });

/** As Node and mysql2 say it when the other side has gone. */
export const lostConnection = (): Error =>
  Object.assign(new Error('Connection lost: The server closed the connection.'), {
    code: 'PROTOCOL_CONNECTION_LOST',
    fatal: true,
  });
