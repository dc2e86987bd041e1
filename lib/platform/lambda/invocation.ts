import { AsyncLocalStorage } from 'node:async_hooks';
import { Unavailable } from '../errors.ts';

/**
 * An invocation is ended by us this long before its time-out. Lambda freezes an environment whose function timed out as
 * it is: a transaction that is open then would keep its locks for as long as nobody uses the environment.
 */
const endMs = 300;

/** An invocation had to be ended before its time-out. Its transactions are rolled back. */
export class OutOfTime extends Unavailable {}

/** One invocation of a function, for what must not outlive it. */
interface Invocation {
  over: boolean;
  /** What is called at its end: connections that it has on loan are closed. */
  readonly atEnd: Set<() => void>;
}

const running = new AsyncLocalStorage<Invocation>();

/** The invocation in which the caller runs; undefined at a cold start and outside Lambda. */
export const currentInvocation = (): Invocation | undefined => running.getStore();

export const outOfTime = (): OutOfTime =>
  new OutOfTime('The invocation was ended before its time-out.');

/**
 * Runs the work of an invocation. With `endsMs` left it closes all connections that the work has on loan, so that the
 * server rolls their transactions back, and throws `OutOfTime`. What of the work runs on after that, or when the
 * environment thaws, gets no connection any more.
 */
export async function withinTime<Result>(
  context: { readonly getRemainingTimeInMillis: () => number },
  work: () => Promise<Result>,
  endsMs: number = endMs,
): Promise<Result> {
  const invocation: Invocation = { over: false, atEnd: new Set() };
  const tooLate = Promise.withResolvers<never>();
  const end = () => {
    invocation.over = true;
    for (const close of [...invocation.atEnd]) close();
    tooLate.reject(outOfTime());
  };
  const time = AbortSignal.timeout(
    Math.max(0, Math.floor(context.getRemainingTimeInMillis() - endsMs)),
  );
  time.addEventListener('abort', end, { once: true });
  try {
    return await Promise.race([running.run(invocation, work), tooLate.promise]);
  } finally {
    time.removeEventListener('abort', end);
  }
}
