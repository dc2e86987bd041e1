/** Makes handlers of functions that a person invokes. */
import middy from '@middy/core';
import type { Context } from 'aws-lambda';
import type * as z from 'zod';
import { issuesOf } from '../issues.ts';
import { withinTime } from './invocation.ts';
import { type Outcome, observed, report, reportProgress } from './log.ts';

export interface Hand {
  /** Returns the milliseconds until the function's timeout. */
  readonly remaining: () => number;
  /** Writes a log line with the progress of the work; `total` if it is known. */
  readonly progress: (done: number, total?: number, note?: string) => void;
}

/** The answer to the person who invoked the function. */
export interface Answer {
  readonly outcome: string;
  /** The input of the next invocation, if there is more to do. `npm run ops -- run` invokes it again by itself. */
  readonly resume?: unknown;
  readonly [fact: string]: unknown;
}

/**
 * Makes the handler of a function that a person invokes (`npm run ops -- run <id> --input …`). The event is the input.
 * Invalid input is refused, with the name of the field, before anything is done. Errors are returned to the caller.
 * Work that may exceed the timeout must stop while time is `remaining` and answer with `resume`.
 */
export function byHand<Input>(
  schema: z.ZodType<Input>,
  handle: (input: Input, hand: Hand) => Promise<Outcome>,
) {
  return middy<unknown, Answer>()
    .use(observed)
    .handler(async (event: unknown, context: Context): Promise<Answer> => {
      const input = schema.safeParse(event);
      if (!input.success) throw new Error(`The input is not valid: ${issuesOf(input.error)}`);
      const result = await withinTime(context, () => handle(input.data, handIn(context)));
      const answer = typeof result === 'string' ? { outcome: result } : result;
      report(answer, {});
      return answer;
    });
}

const handIn = (context: Context): Hand => ({
  remaining: () => context.getRemainingTimeInMillis(),
  progress: (done, total, note) =>
    reportProgress({ done, ...(total !== undefined && { total }), ...(note && { note }) }),
});
