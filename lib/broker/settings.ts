/** Schema of config/broker.json. */
import * as z from 'zod';

export const BrokerSettings = z.strictObject({
  /** A change is published at least this long after its stamp, because its transaction may still be open before. */
  safetyLagSeconds: z.int().min(0).max(300),
  /** The scan still finds a change that commits at most this long after its stamp. */
  overlapSeconds: z.int().min(60).max(3_600),
  pageRowsMax: z.int().min(100).max(10_000),
  /** A row must differ from upstream for this long to count as drift, because its change may still be on its way. */
  driftGraceSeconds: z.int().min(10).max(600),
  /** The broker that `send-canary` sends through the whole pipeline every five minutes; 0 = no canary. */
  canaryBrokerId: z.int().min(0).default(0),
  /** Base URL of the micro shop service. */
  broker_weidian_api: z.url({ protocol: /^https?$/ }),
});
export type BrokerSettings = z.infer<typeof BrokerSettings>;
