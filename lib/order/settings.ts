/** Settings of the order domain: config/order.json. */
import * as z from 'zod';

export const OrderSettings = z.strictObject({
  /** The base URL of the push service ("Singer"). */
  singer_url: z.url({ protocol: /^https?$/ }),
  /** The reader registers with the order database under this server_id, or one of the 999 after it. */
  serverIdFirst: z.int().min(1).max(4_294_966_000),
  /** An open push that is this old and not postponed is queued again. */
  stuckAfterMinutes: z.int().min(1).max(1_440),
  /** The least time that the order database must keep its binlog: how long the reader may be down. */
  retentionHoursMin: z.int().min(1).max(2_160),
});
export type OrderSettings = z.infer<typeof OrderSettings>;
