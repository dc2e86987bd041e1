import { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import { SQSClient } from '@aws-sdk/client-sqs';
import type { Context, SQSBatchResponse, SQSEvent } from 'aws-lambda';
import type { QueueName } from '../../lib/platform/messaging/queue.ts';
import { contextOf } from '../support/lambda.ts';
import {
  abandon,
  blockedThreads,
  breakOff,
  type Databases,
  deadlockSearches,
  endLockWait,
  lockWaitMsMax,
  mayWait,
  orphan,
  type Raw,
  waitsForShared,
} from './database.ts';
import type { Faults } from './faults.ts';
import type { SimulatedQueue } from './queues.ts';
import { drained, forgetOld, type Letter, newQueues, type Queues, recordOf } from './queues.ts';
import {
  type Boundary,
  calm,
  cross,
  current,
  newWorld,
  runAs,
  startMs,
  type Worker,
  type World,
  wrapProcess,
} from './world.ts';

/** The parts of one run of a scenario, made for each run. */
export interface Stage {
  readonly databases: Databases;
  readonly world: World;
  readonly queues: Queues;
  readonly faults: Faults;
}

export interface Consumer {
  readonly queue: QueueName;
  readonly timeoutSeconds: number;
  readonly handlerOf: (
    worker: Worker,
  ) => (event: SQSEvent, context: Context) => Promise<SQSBatchResponse>;
}

export interface Scheduled {
  readonly name: string;
  readonly everySeconds: number;
  /** Time of the first run after the start; default: `everySeconds`. */
  readonly firstSeconds?: number;
  readonly timeoutSeconds: number;
  readonly run: (worker: Worker, remaining: () => number) => Promise<unknown>;
}

/** An action of the outside world, such as an upstream system or a person. */
export interface Act {
  readonly atSeconds: number;
  readonly act: () => Promise<void> | void;
}

interface Play {
  readonly consumers: readonly Consumer[];
  readonly schedules: readonly Scheduled[];
  readonly script: readonly Act[];
  /** A period without events, which the simulated clock skips. */
  readonly leap?: { readonly fromMs: number; readonly toMs: number };
  /** The time by which the run must settle; default: 48 hours after the last act and fault. */
  readonly settleByMs?: number;
  /** The most steps of a run; scenarios with many messages need more than the default. */
  readonly turnsMax?: number;
  /** Returns a broken invariant, if any. Called after each committed write. */
  readonly safety: (injected: number) => Promise<string | undefined>;
  /** Returns why a worker must not do what it is about to do, if so. Called at each boundary, before the effect. */
  readonly passed?: (boundary: Boundary) => string | undefined;
  /** Returns what is not done yet, if anything. */
  readonly unsettled: () => Promise<string | undefined>;
}

export interface Scenario {
  readonly name: string;
  /** A run takes so long that it is only run when it is named. */
  readonly long?: boolean;
  /** SQL that creates the scenario's own tables. */
  readonly prepare?: string;
  /** Tables that are emptied before each run. */
  readonly tables: readonly string[];
  readonly begin: (stage: Stage) => Promise<Play> | Play;
}

export interface Played {
  readonly boundaries: readonly Pick<Boundary, 'kind' | 'label'>[];
  readonly injected: number;
  /** Invocations that ended with an error. */
  readonly failed: number;
}

/** An invariant was broken; the message ends with the command that repeats the run. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

const settleMsMax = 48 * 3_600_000;
const day28Ms = 28 * 86_400_000;
const usualTurnsMax = 50_000;
const batchMax = 10;
const traceLinesShown = 30;
/** Statements that free no lock; but a locking read can end another wait by a deadlock. */
const holdsOn = /^\s*(begin|select|start)/i;
const writes = /^\s*(commit|insert|update|delete|replace)/i;

let playing = false;

/**
 * Runs a scenario until it has settled. Throws `Violation` if an invariant is broken. A process runs one at a time,
 * because timers and AWS clients are global. With `exactly` the same faults give the same run, step by step; without it
 * the traces of earlier runs in the server may change which statement waits for a lock.
 */
export async function play(
  databases: Databases,
  scenario: Scenario,
  faults: Faults,
  { exactly = false } = {},
): Promise<Played> {
  if (playing)
    throw new Error(`${scenario.name} cannot run: another scenario is running in this process.`);
  playing = true;
  try {
    return await played(databases, scenario, faults, exactly);
  } finally {
    playing = false;
  }
}

async function played(
  databases: Databases,
  scenario: Scenario,
  faults: Faults,
  exactly: boolean,
): Promise<Played> {
  const world = newWorld();
  const queues = newQueues(world, faults.receivesMax, () =>
    world.nowMs < faults.untilMs ? faults.messageDelayMs() : 0,
  );
  if (scenario.prepare) await databases.admin.query(scenario.prepare);
  // Message ids repeat in each run, so the failure counts of the last run must go.
  const tables = [...scenario.tables, 'signalbox.message_failure'];
  const letPurge = await databases.empty(tables, exactly);
  const acted = await scenario.begin({ databases, world, queues, faults });
  const unwrap = [wrapProcess(), wrapClients(queues)];
  try {
    return await settle({ databases, world, queues, faults }, acted);
  } catch (error) {
    if (!(error instanceof Violation)) throw error;
    const replay = `npm run simulate -- --scenario ${scenario.name} ${faults.replay}`;
    const trace = world.trace.slice(-traceLinesShown).join('\n  ');
    throw new Violation(`${error.message}\n  ${trace}\nThe same again: ${replay}`);
  } finally {
    for (const worker of world.workers) await kill(databases, world, worker);
    for (const raw of world.orphans.keys())
      await breakOff(databases, raw, { inStatement: raw.busy });
    for (const undo of unwrap) undo();
    await letPurge();
  }
}

/** Redirects the AWS clients of workers to the simulated cloud. */
function wrapClients(queues: Queues): () => void {
  const wrapped = [SQSClient.prototype, EventBridgeClient.prototype].map((prototype) => {
    const { send } = prototype;
    function instead(this: unknown, ...args: unknown[]): unknown {
      return current() ? queues.command(args[0]) : Reflect.apply(send, this, args);
    }
    prototype.send = instead as never;
    return () => {
      prototype.send = send as never;
    };
  });
  return () => {
    for (const undo of wrapped) undo();
  };
}

async function settle(stage: Stage, acted: Play): Promise<Played> {
  const { script, schedules, consumers, leap, safety, unsettled } = acted;
  const { turnsMax = usualTurnsMax, passed = () => undefined } = acted;
  const { databases, world, queues, faults } = stage;
  const { admin } = databases;
  const boundaries: Pick<Boundary, 'kind' | 'label'>[] = [];
  const delayed = new WeakSet<Boundary>();
  const acts = script.toSorted((a, b) => a.atSeconds - b.atSeconds);
  const nextAtMs = new Map(
    schedules.map((one) => [one, startMs + (one.firstSeconds ?? one.everySeconds) * 1000]),
  );
  const lastActMs = startMs + (acts.at(-1)?.atSeconds ?? 0) * 1000;
  let untilMs = acted.settleByMs ?? Math.max(faults.untilMs, lastActMs) + settleMsMax;
  let injected = 0;
  let failed = 0;
  let started = 0;
  let day28 = faults.day28;
  /** A statement or worker that may have held a lock has ended; only then can a lock wait be over. */
  let freed = true;
  const faulty = () => world.nowMs < faults.untilMs;
  const note = (text: string) => void world.trace.push(`${clock(world.nowMs)} ${text}`);
  const check = async () => {
    const wrong = await safety(injected);
    if (wrong) throw new Violation(wrong);
  };

  for (let turn = 0; turn < turnsMax; turn++) {
    await recheckBlocked();
    const steps = possible();
    if (steps.length) {
      await steps[faults.pick(steps.length)]?.();
      await calm(world);
    } else if (!acts.length && isQuiet() && !(await unsettled())) {
      if (!day28) return { boundaries, injected, failed };
      day28 = false;
      redeliverAll();
    } else await advance();
  }
  throw new Violation(`Not settled after ${turnsMax} turns: ${await unsettled()}`);

  function possible(): (() => Promise<void>)[] {
    const steps = [...world.waiting]
      .filter(({ notBeforeMs }) => notBeforeMs <= world.nowMs)
      .map((boundary) => () => pass(boundary));
    const [act] = acts;
    if (act && startMs + act.atSeconds * 1000 <= world.nowMs) steps.push(() => perform(act));
    for (const consumer of consumers) {
      const queue = queues.open(consumer.queue);
      const visible = visibleIn(queue);
      const busy = [...world.workers].filter(({ name }) => name.startsWith(consumer.queue.id));
      if (visible.length && busy.length < faults.atOnce)
        steps.push(async () => deliver(consumer, queue, visible));
    }
    for (const [one, atMs] of nextAtMs) if (atMs <= world.nowMs) steps.push(async () => tick(one));
    return steps;
  }

  function visibleIn({ letters }: SimulatedQueue): Letter[] {
    return [...letters.values()].filter(({ visibleAtMs }) => visibleAtMs <= world.nowMs);
  }

  async function pass(boundary: Boundary): Promise<void> {
    const { worker, kind, label } = boundary;
    const delayMs =
      faulty() && kind !== 'timer' && !delayed.has(boundary) ? faults.delayMs(boundary) : 0;
    if (delayMs) {
      delayed.add(boundary);
      boundary.notBeforeMs = world.nowMs + delayMs;
      worker.heldUpMs += delayMs;
      // The whole worker is slow, so its timers are late as well.
      for (const timer of world.waiting)
        if (timer.worker === worker && timer.kind === 'timer')
          timer.notBeforeMs = Math.max(timer.notBeforeMs, boundary.notBeforeMs + 1);
      return note(`${worker.name} is held up for ${delayMs} ms before ${short(label)}`);
    }
    world.waiting.delete(boundary);
    const counted = kind !== 'timer';
    const fault =
      counted && (faults.exact || faulty())
        ? faults.faultOf(boundary, boundaries.length)
        : undefined;
    if (fault) injected += 1;
    note(
      `${worker.name} ${counted ? `#${boundaries.length} ` : ''}${short(label)} ${fault ? `** ${fault} **` : ''}`,
    );
    if (counted) boundaries.push({ kind, label });
    const forbidden = passed(boundary);
    if (forbidden) throw new Violation(forbidden);
    if (fault || (kind === 'sql' && (!holdsOn.test(label) || mayWait(label)))) freed = true;
    if (fault === 'crash') return await kill(databases, world, worker);
    if (fault === 'frozen') return freeze(world, worker);
    const mayDeadlock = world.running.size > 0 && kind === 'sql' && mayWait(label);
    const searches = mayDeadlock ? await deadlockSearches(admin) : undefined;
    world.running.add(boundary);
    boundary.go(fault);
    await answeredOrBlocked(boundary, searches);
    if (kind === 'sql' && writes.test(label) && !boundary.connection?.inTransaction) await check();
  }

  /**
   * Returns when MySQL has answered, or when the statement waits for a lock. If no other statement waits, one check is
   * enough, because no deadlock can end the wait. Otherwise a second check follows after MySQL's next search for
   * deadlocks; `searches` is their number before the statement.
   */
  async function answeredOrBlocked(boundary: Boundary, searches?: number): Promise<void> {
    const { connection, label } = boundary;
    const end = performance.now() + answerMsMax;
    const looksNeeded = world.running.size > 1 || waitsForShared(label) ? 2 : 1;
    let looks = 0;
    while (!boundary.finished) {
      if (performance.now() > end) throw new Violation(`No answer: ${label}`);
      await Promise.race([
        boundary.whenFinished,
        realPause(looks ? surelyAfterMs : blockedAfterMs),
      ]);
      if (boundary.finished || !connection || !mayWait(label)) continue;
      const isSearched = searches === undefined || (await deadlockSearches(admin)) > searches;
      if (looks && !isSearched) continue;
      looks = (await blocked()).has(connection.threadId) ? looks + 1 : 0;
      if (looks < looksNeeded || boundary.finished) continue;
      if (boundary.blockedSinceMs === undefined) note(`${boundary.worker.name} waits for a lock`);
      boundary.blockedSinceMs ??= world.nowMs;
      return;
    }
  }

  /** Resumes statements whose lock was granted. MySQL grants it before it answers the statement that frees it. */
  async function recheckBlocked(): Promise<void> {
    if (!world.running.size || !freed) return;
    freed = false;
    if (someWaitForShared()) await realPause(surelyAfterMs);
    const waiting = await blocked();
    for (const boundary of [...world.running]) {
      if (waiting.has(boundary.connection?.threadId ?? 0)) continue;
      await answeredOrBlocked(boundary);
      if (boundary.finished) boundary.resume();
      await calm(world);
    }
  }

  function blocked(): Promise<Set<number>> {
    return blockedThreads(admin, { forShared: someWaitForShared() });
  }

  function someWaitForShared(): boolean {
    return [...world.running].some(({ label }) => waitsForShared(label));
  }

  async function perform(act: Act): Promise<void> {
    acts.shift();
    await act.act();
    note('the outside world acts');
    await check();
  }

  function newWorker(name: string, timeoutSeconds: number): Worker {
    started += 1;
    return {
      name: `${name}(${started})`,
      skewMs: faults.skewMs(),
      endsAtMs: world.nowMs + timeoutSeconds * 1000,
      connections: new Set(),
      heldUpMs: 0,
      alive: true,
      ended: false,
    };
  }

  function start(worker: Worker, work: () => Promise<unknown>): void {
    note(`${worker.name} starts`);
    runAs(world, worker, work).then(
      () => {},
      (error) => {
        failed += 1;
        note(`${worker.name} fails: ${error}`);
      },
    );
  }

  function deliver(consumer: Consumer, queue: SimulatedQueue, visible: Letter[]): void {
    const batch: Letter[] = [];
    const most = faults.exact ? batchMax : faults.random.between(1, batchMax);
    while (batch.length < most && visible.length)
      batch.push(...visible.splice(faults.pick(visible.length), 1));
    queues.receive(queue, batch, faults.visibilitySeconds * 1000);
    const records = batch
      .filter(({ id }) => queue.letters.has(id))
      .map((letter) => recordOf(queue, letter));
    const worker = newWorker(consumer.queue.id, consumer.timeoutSeconds);
    start(worker, async () => {
      const handler = consumer.handlerOf(worker);
      const getRemainingTimeInMillis = () => worker.endsAtMs - world.nowMs;
      const context = { ...contextOf(), getRemainingTimeInMillis };
      const { batchItemFailures } = await handler({ Records: records }, context);
      const failed = new Set(batchItemFailures.map(({ itemIdentifier }) => itemIdentifier));
      await cross('acknowledge', `acknowledge ${records.length - failed.size}`, {
        fail: async () => new Error('not of an acknowledgement'),
        run: async () => {
          for (const { messageId } of records)
            if (!failed.has(messageId)) acknowledge(queue, messageId);
        },
      });
    });
  }

  function acknowledge(queue: SimulatedQueue, id: string): void {
    const letter = queue.letters.get(id);
    const again = faulty() ? faults.duplicateAfterMs() : undefined;
    if (again === undefined) queue.letters.delete(id);
    else if (letter) letter.visibleAtMs = world.nowMs + again;
  }

  function tick(one: Scheduled): void {
    const twice = faulty() && faults.duplicateAfterMs() !== undefined;
    nextAtMs.set(one, twice ? world.nowMs : world.nowMs + one.everySeconds * 1000);
    const worker = newWorker(one.name, one.timeoutSeconds);
    start(worker, () => one.run(worker, () => worker.endsAtMs - world.nowMs));
  }

  /** True if no worker is busy and all queues are empty; schedules that only sleep do not count. */
  function isQuiet(): boolean {
    const busy = [...world.waiting, ...world.running].some(({ kind }) => kind !== 'timer');
    return !busy && drained(queues).every(({ letters }) => letters.size === 0);
  }

  function redeliverAll(): void {
    world.nowMs += day28Ms;
    untilMs = world.nowMs + settleMsMax;
    for (const one of schedules) nextAtMs.set(one, world.nowMs);
    for (const queue of drained(queues))
      for (const letter of queue.sent) queues.again(queue, letter);
    note('all messages are delivered again');
  }

  /** Returns running workers, and ended ones that still have a statement or a timer. */
  function unfinished(): Worker[] {
    const left = [...world.waiting, ...world.running].map(({ worker }) => worker);
    return [...new Set([...world.workers, ...left])];
  }

  async function advance(): Promise<void> {
    freed = true;
    for (const deadline of world.deadlines)
      if (!world.workers.has(deadline.worker)) world.deadlines.delete(deadline);
    const times = [
      ...[...world.waiting].map(({ notBeforeMs }) => notBeforeMs),
      ...[...world.running].map(({ blockedSinceMs = 0 }) => blockedSinceMs + lockWaitMsMax),
      ...unfinished().map(({ endsAtMs }) => endsAtMs),
      ...[...world.deadlines].map(({ atMs }) => atMs),
      ...world.orphans.values(),
      ...acts.slice(0, 1).map(({ atSeconds }) => startMs + atSeconds * 1000),
      ...drained(queues).flatMap(({ letters }) =>
        [...letters.values()].map(({ visibleAtMs }) => visibleAtMs),
      ),
      ...nextAtMs.values(),
    ];
    let next = Math.min(...times.filter((time) => time > world.nowMs));
    if (leap && next > leap.fromMs && next < leap.toMs && isQuiet()) {
      next = leap.toMs;
      for (const one of schedules) nextAtMs.set(one, next);
    }
    if (next > untilMs) throw new Violation(`Not settled after 48 hours: ${await unsettled()}`);
    world.nowMs = next;
    forgetOld(queues, next);
    for (const deadline of [...world.deadlines])
      if (deadline.atMs <= next) {
        world.deadlines.delete(deadline);
        note(`${deadline.worker.name} ends itself`);
        deadline.abort();
        await calm(world);
      }
    for (const [raw, endsAtMs] of [...world.orphans])
      if (endsAtMs <= next) {
        world.orphans.delete(raw);
        note('a server ends an idle session');
        await breakOff(databases, raw, { inStatement: raw.busy });
      }
    for (const worker of unfinished())
      if (worker.endsAtMs <= next) {
        note(`${worker.name} is out of time`);
        await kill(databases, world, worker);
      }
    for (const { blockedSinceMs, connection, finished, whenFinished } of [...world.running])
      if (connection && !finished && (blockedSinceMs ?? next) + lockWaitMsMax <= next) {
        await endLockWait(admin, connection);
        await whenFinished;
      }
  }
}

/** A statement without an answer after this time may wait for a lock, so MySQL's lock waits are read. */
const blockedAfterMs = 2;
/** After this time MySQL has found a deadlock if there is one, and a statement that does not wait has ended. */
const surelyAfterMs = 5;
const answerMsMax = 10_000;
const realSetTimeout = globalThis.setTimeout;
const realPause = (ms: number) => new Promise<void>((done) => realSetTimeout(done, ms));

const clock = (ms: number) => new Date(ms + 8 * 3_600_000).toISOString().slice(5, 23);
const short = (label: string) => label.replaceAll(/\s+/g, ' ').slice(0, 90);

/** Ends a worker at any point: its code does not continue, and its transactions are rolled back. */
async function kill(databases: Databases, world: World, worker: Worker): Promise<void> {
  const running = [...world.running].filter((boundary) => boundary.worker === worker);
  const asked = new Set(
    running.filter(({ finished }) => !finished).map(({ connection }) => connection),
  );
  for (const raw of stop(world, worker))
    if (raw.silence) await abandon(databases, world, raw);
    else await breakOff(databases, raw, { inStatement: asked.has(raw) });
  for (const boundary of running) {
    world.running.delete(boundary);
    boundary.resume();
  }
}

/** Stops a worker at any point without its servers noticing: its transactions stay open. */
function freeze(world: World, worker: Worker): void {
  for (const raw of stop(world, worker)) {
    raw.silence?.resolve();
    orphan(world, raw);
  }
}

function stop(world: World, worker: Worker): ReadonlySet<Raw> {
  worker.alive = false;
  world.workers.delete(worker);
  for (const boundary of [...world.waiting])
    if (boundary.worker === worker) world.waiting.delete(boundary);
  return worker.connections;
}
