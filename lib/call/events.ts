/** Events that this domain publishes on the bus. */
import * as z from 'zod';
import { event } from '../platform/messaging/event.ts';

/** An owner was charged for a call. */
const Charged = z.object({
  paymentId: z.string(),
  callLogId: z.string(),
  userId: z.string(),
  amountFen: z.int(),
});

export const charged = event('call/charged', Charged);

/** All listings of an owner were switched off or on. */
const ListingsSwitched = z.object({
  userId: z.string(),
  online: z.boolean(),
  /** The charge that took the listings offline, now or before they came back. */
  paymentId: z.string(),
});

export const listingsSwitched = event('call/listings-switched', ListingsSwitched);
