import * as z from 'zod';

/** config/call.json. Names with underscores, and `KDAccount`, are the old system's. */
export const CallSettings = z.strictObject({
  /** The 400 service's connection entry: messages with another routing key are none of ours. */
  '400_postcallinfo_dyz': z.strictObject({ routing_keys: z.array(z.string().min(1)).min(1) }),
  /** Seconds up to which a call is too short to be charged. */
  filter_call_time_rule_threshold: z.int().min(0).max(3_600),
  /** Seconds within which a second call of the same caller to the same owner is free. */
  filter_last_call_time_rule_threshold: z.int().min(1).max(31_536_000),
  /** Yuan. */
  payment_price_per_call: z.number().positive().max(10_000).multipleOf(0.01),
  payment_base_api_url: z.url(),
  /** Milliseconds. */
  payment_api_timeout: z.int().min(100).max(20_000),
  listing_api_url: z.url(),
  k3_url: z.url(),
  /** The account set of K3, byte for byte. */
  KDAccount: z.string().min(1),
  /** More charges in a minute stop all charging … */
  chargesPerMinuteMax: z.int().positive(),
  /** … and more for one owner stop his, until call/resume-charging. */
  chargesPerMinutePerOwnerMax: z.int().positive(),
  /** Rows that have been open for longer, and are neither held nor postponed, are nudged again. */
  stuckAfterMinutes: z.int().min(1).max(1_440),
  /** Decides and logs as if for real, but charges nothing (docs/runbooks/cut-over.md). */
  shadow: z.boolean(),
  /** Where a copy of the old system's tables is, on our own server: call/import-history reads it. */
  history_schema: z.string().regex(/^\w{1,64}$/),
  safetyLagSeconds: z.int().min(0).max(300),
  overlapSeconds: z.int().min(60).max(3_600),
  pageRowsMax: z.int().min(100).max(10_000),
});
export type CallSettings = z.infer<typeof CallSettings>;
