/** Domain events that the broker domain publishes on the bus. */
import * as z from 'zod';
import { event } from '../platform/messaging/event.ts';

/** The rows of these ids in the user-facing tables now equal upstream; `source` as in queues.ts. */
export const brokerApplied = event(
  'broker/applied',
  z.object({ source: z.int(), ids: z.array(z.string()) }),
);
