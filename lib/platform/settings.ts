import * as z from 'zod';

/** config/platform.json. */
export const PlatformSettings = z.strictObject({
  /** How many outbox rows platform/deliver-due sends to one destination in a minute, spread evenly; invalidations are not counted. */
  deliveriesPerMinuteMax: z.int().min(30).max(1_000_000),
});
export type PlatformSettings = z.infer<typeof PlatformSettings>;
