import * as z from 'zod';
import { event } from '../platform/messaging/event.ts';

/** An owner paid for a call. */
const Charged = z.object({
  paymentId: z.string(),
  callLogId: z.string(),
  userId: z.string(),
  amountFen: z.int(),
});

export const charged = event('call/charged', Charged);

/** All listings of an owner went offline, or are shown again. */
const ListingsSwitched = z.object({
  userId: z.string(),
  online: z.boolean(),
  /** The charge that took them offline, this time or before. */
  paymentId: z.string(),
});

export const listingsSwitched = event('call/listings-switched', ListingsSwitched);
