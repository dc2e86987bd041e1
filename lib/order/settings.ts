import * as z from 'zod';

/** config/order.json. */
export const OrderSettings = z.strictObject({
  /** Where the push service ("Singer") is. */
  singer_url: z.url({ protocol: /^https?$/ }),
  /** The reader's server_id among the replicas of the order database: this and the 999 after it. */
  serverIdFirst: z.int().min(1).max(4_294_966_000),
  /** A push that is neither sent nor put off after so long is named on the queue once more. */
  stuckAfterMinutes: z.int().min(1).max(1_440),
  /** For how long the order database must keep its binlog: the longest time that the reader may be away. */
  retentionHoursMin: z.int().min(1).max(2_160),
});
export type OrderSettings = z.infer<typeof OrderSettings>;
