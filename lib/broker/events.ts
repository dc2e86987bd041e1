import * as z from 'zod';
import { event } from '../platform/messaging/event.ts';

/** What stands in the user-facing tables for these ids was made equal to its source; `source` as in queues.ts. */
export const brokerApplied = event(
  'broker/applied',
  z.object({ source: z.int(), ids: z.array(z.string()) }),
);
