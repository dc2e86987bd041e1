import middy from '@middy/core';
import type { Context } from 'aws-lambda';
import * as z from 'zod';
import { type Outcome, observed, report } from './log.ts';

export interface Tick {
  /** The time the schedule meant, not the time it is. */
  readonly at: Date;
  /** Milliseconds until the function's time-out. */
  readonly remaining: () => number;
}

const ScheduledEvent = z.object({ time: z.iso.datetime({ offset: true }) });

/** Makes the handler of a schedule. Errors get out: EventBridge tries again and the function's alarm goes off. */
export function schedule(work: (tick: Tick) => Promise<Outcome>) {
  return middy<{ readonly time: string }, void>()
    .use(observed)
    .handler(async (event: unknown, context: Context): Promise<void> => {
      const { time } = ScheduledEvent.parse(event);
      const tick = { at: new Date(time), remaining: () => context.getRemainingTimeInMillis() };
      report(await work(tick), { at: time });
    });
}
