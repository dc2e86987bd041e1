import * as z from 'zod';
import { Day, idOf, Who, Why } from '../platform/fields.ts';

const fromResume = "of an answer's `resume`; `run` fills it in";
const dayMs = 86_400_000;
const daysMax = 400;
const proofLengthMax = 400;

export const AdvancePaymentIds = z
  .strictObject({
    from: Day.optional().describe(
      'the first Shanghai day whose statement is read; without it the day before our newest payment',
    ),
    by: Who,
    why: Why,
    highest: z
      .string()
      .regex(/^\d{1,19}$/, 'Expected the id of a trade, as text')
      .default('0')
      .describe(`the highest trade that was read before, ${fromResume}`),
    passed_over: z
      .array(z.string().max(200))
      .max(20)
      .default([])
      .describe(`trades that were passed over before, ${fromResume}`),
  })
  .meta({ examples: [{ by: 'lena', why: 'the database was restored to an hour ago' }] });
export type AdvancePaymentIds = z.infer<typeof AdvancePaymentIds>;

/** Parts of the old system's rows, in the order in which they are imported. */
export const historyParts = ['calls', 'contracts', 'income', 'payments'] as const;

export const ImportHistory = z
  .strictObject({
    what: z
      .enum(['calls', 'money'])
      .describe(
        '`calls` at any time, and again: shadow mode needs them; `money` once the old system has stopped',
      ),
    by: Who,
    why: Why,
    part: z.enum(historyParts).optional().describe(`the part that is resumed, ${fromResume}`),
    after: z
      .string()
      .regex(/^\d+$/, 'Expected an id, as text')
      .optional()
      .describe(`the last row of it that was imported, ${fromResume}`),
  })
  .meta({ examples: [{ what: 'calls', by: 'lena', why: 'the old job is replaced' }] });
export type ImportHistory = z.infer<typeof ImportHistory>;

/** What `call/reconcile` takes of a person; its schedule says it otherwise. */
export const NamedDays = z
  .strictObject({
    from: Day.describe('the first Shanghai day that is compared'),
    to: Day.optional().describe('the last one; without it the same day'),
  })
  .transform(({ from, to = from }) => ({ from, to }))
  .refine(({ from, to }) => from <= to, {
    path: ['from'],
    message: 'Expected `from` to be no later than `to`',
  })
  .refine(({ from, to }) => (Date.parse(to) - Date.parse(from)) / dayMs < daysMax, {
    path: ['to'],
    message: `Expected ${daysMax} days at most`,
  })
  .meta({ examples: [{ from: '2026-11-19', to: '2026-11-20' }] });

export const ResumeCharging = z
  .strictObject({
    scope: z
      .string()
      .regex(/^(all|owner:[1-9]\d{0,18})$/, 'Expected all or owner:<user_id>')
      .describe('which stop is lifted: `all`, or `owner:<user_id>`'),
    by: Who,
    why: Why,
    after: z
      .string()
      .regex(/^\d{1,19}$/, 'Expected the id of a payment, as text')
      .default('0')
      .describe(`the last payment that was sent on, ${fromResume}`),
  })
  .meta({
    examples: [{ scope: 'owner:42', by: 'lena', why: 'a promotion: the calls are real' }],
  });
export type ResumeCharging = z.infer<typeof ResumeCharging>;

export const ReverseCharge = z
  .strictObject({ payment_id: idOf('a payment').describe('the charge'), by: Who, why: Why })
  .meta({
    examples: [
      { payment_id: '820000000001', by: 'lena', why: 'the caller was a colleague of ours' },
    ],
  });
export type ReverseCharge = z.infer<typeof ReverseCharge>;

export const SettleByHand = z
  .strictObject({
    payment_id: idOf('a payment').describe('the charge or the reversal that is open'),
    to: z
      .enum(['charged', 'refused', 'free'])
      .describe(
        '`charged`: its trade was done. `refused`: it was not, and never will be, under any id. `free`: it was not, and the call may be charged, or the charge reversed, under another id',
      ),
    proof: z
      .string()
      .trim()
      .min(1)
      .max(proofLengthMax)
      .describe("what shows it: the payment centre's ticket, letter or line of a statement"),
    day: Day.optional().describe(
      'the Shanghai day whose statement lists the trade of this id; needed for `charged`',
    ),
    by: Who,
    why: Why,
  })
  .refine(({ to, day }) => to !== 'charged' || day !== undefined, {
    path: ['day'],
    message: 'Expected the day whose statement lists the trade',
  })
  .meta({
    examples: [
      {
        payment_id: '820000000000',
        to: 'charged',
        day: '2026-11-20',
        proof: 'the statement of 2026-11-20',
        by: 'lena',
        why: '4009: a release had changed the text of the trade',
      },
    ],
  });
export type SettleByHand = z.infer<typeof SettleByHand>;

/** What the functions of this domain that a person starts take, by their ids. */
export const callInputs = {
  'call/advance-payment-ids': AdvancePaymentIds,
  'call/import-history': ImportHistory,
  'call/reconcile': NamedDays,
  'call/resume-charging': ResumeCharging,
  'call/reverse-charge': ReverseCharge,
  'call/settle-by-hand': SettleByHand,
};
