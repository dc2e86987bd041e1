/** Makes handlers of functions that EventBridge starts on a schedule. */
import middy from '@middy/core';
import type { Context } from 'aws-lambda';
import * as z from 'zod';
import { withinTime } from './invocation.ts';
import { type Outcome, observed, report } from './log.ts';

export interface Tick {
  /** The scheduled time, not the current time. */
  readonly at: Date;
  /** Returns the milliseconds until the function's timeout. */
  readonly remaining: () => number;
}

const ScheduledEvent = z.object({
  time: z.iso.datetime({ offset: true }),
  input: z.unknown().optional(),
});

/** Makes the handler of a schedule. Errors are rethrown: EventBridge retries, and the function's alarm goes off. */
export function schedule(work: (tick: Tick) => Promise<Outcome>) {
  return scheduleOf(z.unknown(), work);
}

/** Makes the handler of a function that several schedules start, each with its own `input`. */
export function scheduleOf<Input>(
  schema: z.ZodType<Input>,
  work: (tick: Tick & { readonly input: Input }) => Promise<Outcome>,
) {
  return middy<{ readonly time: string }, void>()
    .use(observed)
    .handler(async (event: unknown, context: Context): Promise<void> => {
      const { time, input: given } = ScheduledEvent.parse(event);
      const input = schema.parse(given);
      const remaining = () => context.getRemainingTimeInMillis();
      const tick = { at: new Date(time), remaining, input };
      report(await withinTime(context, () => work(tick)), { at: time });
    });
}
