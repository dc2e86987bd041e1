/** Ends the work of an invocation before Lambda times it out. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { Unavailable } from '../errors.ts';

/**
 * The work of an invocation ends this long before its timeout. Lambda freezes the environment of a function that timed
 * out, and an open transaction would keep its locks until the environment is used again.
 */
const endMs = 300;

/** The invocation ended before its timeout. Its transactions are rolled back. */
export class OutOfTime extends Unavailable {}

/** One invocation of a function, with the resources that must not outlive it. */
interface Invocation {
  over: boolean;
  /** Called at the end of the invocation: each closes a borrowed connection. */
  readonly atEnd: Set<() => void>;
}

const running = new AsyncLocalStorage<Invocation>();

/** Returns the invocation in which the caller runs, or undefined at a cold start and outside Lambda. */
export const currentInvocation = (): Invocation | undefined => running.getStore();

export const outOfTime = (): OutOfTime =>
  new OutOfTime('The invocation was ended before its time-out.');

/**
 * Runs the work of an invocation. When only `endsMs` are left it closes all connections that the work has borrowed, so
 * that the server rolls back their transactions, and throws `OutOfTime`. Work that continues after that, or after the
 * environment thaws, gets no more connections.
 */
export async function withinTime<Result>(
  context: { readonly getRemainingTimeInMillis: () => number },
  work: () => Promise<Result>,
  endsMs: number = endMs,
): Promise<Result> {
  const invocation: Invocation = { over: false, atEnd: new Set() };
  const timeout = Promise.withResolvers<never>();
  const end = () => {
    invocation.over = true;
    for (const close of [...invocation.atEnd]) close();
    timeout.reject(outOfTime());
  };
  const deadline = AbortSignal.timeout(
    Math.max(0, Math.floor(context.getRemainingTimeInMillis() - endsMs)),
  );
  deadline.addEventListener('abort', end, { once: true });
  try {
    return await Promise.race([running.run(invocation, work), timeout.promise]);
  } finally {
    deadline.removeEventListener('abort', end);
  }
}
