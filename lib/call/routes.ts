/** HTTP routes of this domain. */
import * as z from 'zod';
import { route } from '../platform/http/route.ts';

const Id = z.string();
const Time = z.string().meta({ description: 'Shanghai wall time' });
const Fen = z.int();

/** A row of the payment log. */
const Payment = z.object({
  payment_id: Id,
  amount_fen: Fen,
  state: z.enum(['intent', 'sent', 'unknown', 'charged', 'refused']),
  /** The owner's balance after the payment. */
  balance_fen: Fen.nullable(),
  reason: z.string().nullable(),
  created_at: Time,
  sent_at: Time.nullable(),
  updated_at: Time,
});

/** One rule of the filter, its input at the time of the decision, and its result. */
const Rule = z.object({
  rule: z.int(),
  name: z.string(),
  input: z.record(z.string(), z.unknown()),
  outcome: z.enum(['applies', 'does not apply', 'not known']),
});

const Income = z.object({
  payment_id: Id,
  /** Null if no contract has covered the amount yet. */
  contract_no: z.string().nullable(),
  amount_fen: Fen,
  created_at: Time,
});

/** State of the owner's listings, and the charge that last took them offline. */
const Listings = z.object({
  state: z.enum(['online', 'offline']),
  since: Time.nullable(),
  cause: z.string().nullable(),
  payment_id: Id.nullable(),
  topped_up_at: Time.nullable(),
});

/** The decision of shadow mode; the rest of the answer is then about the old system's. */
const Shadow = z.object({
  filter_rule: z.int().nullable(),
  decided_at: Time.nullable(),
  rules: z.array(Rule),
  /** Result of the comparison with the old system's row; null before it. */
  compared: z.enum(['agrees', 'differs', 'missing']).nullable(),
});

const Explanation = z.object({
  call_id: z.string(),
  user_id: Id,
  /** Masked. */
  caller: z.string(),
  callee: z.string(),
  status: z.int(),
  started_at: Time,
  duration: z.int(),
  call_type: z.int(),
  filter_rule: z.int().nullable(),
  decided_at: Time.nullable(),
  rules: z.array(Rule),
  charge: Payment.nullable(),
  reversal: Payment.nullable(),
  income: z.array(Income),
  listings: Listings.nullable(),
  shadow: Shadow.nullable(),
});

export const explainCallRoute = route({
  id: 'call/explain-call',
  method: 'GET',
  path: '/calls/{call_id}',
  summary:
    'Explains why a call was charged or not: every rule with its input and outcome, and what followed.',
  who: 'support',
  parameters: z.object({ call_id: z.string().min(1).max(64) }),
  answers: { 200: Explanation },
  refuses: ['not_found'],
});
