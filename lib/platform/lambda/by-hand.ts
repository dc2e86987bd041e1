import middy from '@middy/core';
import type { Context } from 'aws-lambda';
import type * as z from 'zod';
import { issuesOf } from '../issues.ts';
import { withinTime } from './invocation.ts';
import { type Outcome, observed, report, reportProgress } from './log.ts';

export interface Hand {
  /** Milliseconds until the function's time-out. */
  readonly remaining: () => number;
  /** Writes a log line that says how far the work is; `total` where it is known. */
  readonly progress: (done: number, total?: number, note?: string) => void;
}

/** What the person who called is told. */
export interface Answer {
  readonly outcome: string;
  /**
   * There is more to do: the input of the next invocation. `npm run ops -- run` goes on by itself.
   */
  readonly resume?: unknown;
  readonly [fact: string]: unknown;
}

/**
 * Makes the handler of a function that a person invokes (`npm run ops -- run <id> --input …`); the
 * event is the input. Input of another form is refused with the name of the field before anything
 * is done. Errors get out, to the caller. Work that may take longer than the time-out stops while
 * time `remaining`, and answers with `resume`.
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
