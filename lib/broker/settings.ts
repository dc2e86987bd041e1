import * as z from 'zod';

/** config/broker.json. */
export const BrokerSettings = z.strictObject({
  /** A change is published this long after it was made at the earliest: its transaction may still be open. */
  safetyLagSeconds: z.int().min(0).max(300),
  /** How late after its stamp a change may commit and still be found by the scan. */
  overlapSeconds: z.int().min(60).max(3_600),
  pageRowsMax: z.int().min(100).max(10_000),
  /** A row differs from upstream for so long before that counts as drift: its change may be on its way. */
  driftGraceSeconds: z.int().min(10).max(600),
  /** The broker whose row is sent through everything every five minutes, to see how long it takes; 0: none. */
  canaryBrokerId: z.int().min(0).default(0),
  /** The base URL of the micro-shop service. */
  broker_weidian_api: z.url({ protocol: /^https?$/ }),
});
export type BrokerSettings = z.infer<typeof BrokerSettings>;
