/** The schema of config/platform.json. */
import * as z from 'zod';

export const PlatformSettings = z.strictObject({
  /**
   * The maximum number of outbox rows that platform/deliver-due sends to one destination per minute, spread evenly.
   * Invalidations are not counted.
   */
  deliveriesPerMinuteMax: z.int().min(30).max(1_000_000),
});
export type PlatformSettings = z.infer<typeof PlatformSettings>;
