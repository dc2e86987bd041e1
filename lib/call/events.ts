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

/** All listings of an owner went offline, or are shown again. */
export const ListingsSwitched = z.object({
  userId: z.string(),
  online: z.boolean(),
  /** The charge that took them offline, this time or before. */
  paymentId: z.string(),
});
export type ListingsSwitched = z.infer<typeof ListingsSwitched>;

export const listingsSwitched = event('call/listings-switched', ListingsSwitched);
