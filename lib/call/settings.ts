/** Settings of this domain: the schema of config/call.json. */
import * as z from 'zod';

/** Names with underscores, and `KDAccount`, come from the old system. */
export const CallSettings = z.strictObject({
  /** The 400 service's connection entry: messages with another routing key are rejected. */
  '400_postcallinfo_dyz': z.strictObject({ routing_keys: z.array(z.string().min(1)).min(1) }),
  /** Seconds; a call of this duration or less is too short to be charged. */
  filter_call_time_rule_threshold: z.int().min(0).max(3_600),
  /** Seconds; a second call of the same caller to the same owner within this time is free. */
  filter_last_call_time_rule_threshold: z.int().min(1).max(31_536_000),
  /** In yuan. */
  payment_price_per_call: z.number().positive().max(10_000).multipleOf(0.01),
  payment_base_api_url: z.url(),
  /** In milliseconds. */
  payment_api_timeout: z.int().min(100).max(20_000),
  listing_api_url: z.url(),
  k3_url: z.url(),
  /** The account set of K3; compared byte for byte. */
  KDAccount: z.string().min(1),
  /** More charges of all owners in a minute set a charge stop for everybody, until call/resume-charging. */
  chargesPerMinuteMax: z.int().positive(),
  /** More charges of one owner in a minute set a charge stop for that owner, until call/resume-charging. */
  chargesPerMinutePerOwnerMax: z.int().positive(),
  /** Rows that are open for longer, and neither held nor postponed, are resumed by call/settle-unknown-charges. */
  stuckAfterMinutes: z.int().min(1).max(1_440),
  /** Shadow mode: decides and logs calls, but charges nothing (docs/runbooks/cut-over.md). */
  shadow: z.boolean(),
  /** Schema on our server with a copy of the old system's tables, for call/import-history. */
  history_schema: z.string().regex(/^\w{1,64}$/),
  safetyLagSeconds: z.int().min(0).max(300),
  overlapSeconds: z.int().min(60).max(3_600),
  pageRowsMax: z.int().min(100).max(10_000),
});
export type CallSettings = z.infer<typeof CallSettings>;
