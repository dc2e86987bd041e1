import * as z from 'zod';
import { event } from '../platform/event.ts';

/** An owner paid for a call. */
export const Charged = z.object({
  paymentId: z.string(),
  callLogId: z.string(),
  userId: z.string(),
  amountFen: z.int(),
});
export type Charged = z.infer<typeof Charged>;

export const charged = event('call/charged', Charged);
