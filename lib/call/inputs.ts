/** Inputs of this domain's functions that a person starts. */
import * as z from 'zod';
import { AnyId, Day, idOf, placeAfter, Who, Why } from '../platform/fields.ts';
import { isId } from '../platform/ids.ts';

const fromResume = "of an answer's `resume`; `run` fills it in";
const dayMs = 86_400_000;
const daysMax = 400;
const proofLengthMax = 400;

export const AdvancePaymentIds = z
  .strictObject({
    from: Day.optional().describe(
      'the first Shanghai day whose statement is read; default: the day before our newest payment',
    ),
    by: Who,
    why: Why,
    highest: placeAfter('a trade')
      .default('0')
      .describe(`the highest trade id read so far, ${fromResume}`),
    passed_over: z
      .array(z.string().max(200))
      .max(20)
      .default([])
      .describe(`trades skipped so far, ${fromResume}`),
  })
  .meta({ examples: [{ by: 'lena', why: 'the database was restored to an hour ago' }] });
export type AdvancePaymentIds = z.infer<typeof AdvancePaymentIds>;

/** Parts of the old system's data, in the order of the import. */
export const historyParts = ['calls', 'contracts', 'income', 'payments'] as const;

export const ImportHistory = z
  .strictObject({
    what: z
      .enum(['calls', 'money'])
      .describe(
        '`calls`: at any time and repeatedly, because shadow mode needs them; `money`: once the old system has stopped',
      ),
    by: Who,
    why: Why,
    part: z.enum(historyParts).optional().describe(`the part to resume, ${fromResume}`),
    after: AnyId.optional().describe(`the last imported row of that part, ${fromResume}`),
  })
  .meta({ examples: [{ what: 'calls', by: 'lena', why: 'the old job is replaced' }] });
export type ImportHistory = z.infer<typeof ImportHistory>;

/** Input of `call/reconcile` when a person starts it; its schedule has an input of its own. */
export const NamedDays = z
  .strictObject({
    from: Day.describe('the first Shanghai day to compare'),
    to: Day.optional().describe('the last Shanghai day to compare; default: the same as `from`'),
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

const isScope = (text: string): boolean =>
  text === 'all' || isId(text.match(/^owner:(.*)$/s)?.[1] ?? '');

export const ResumeCharging = z
  .strictObject({
    scope: z
      .string()
      .refine(isScope, 'Expected all or owner:<user_id>')
      .describe('the charge stop to lift: `all`, or `owner:<user_id>`'),
    by: Who,
    why: Why,
    after: placeAfter('a payment')
      .default('0')
      .describe(`the last payment that was requeued, ${fromResume}`),
  })
  .meta({
    examples: [{ scope: 'owner:42', by: 'lena', why: 'a promotion: the calls are real' }],
  });
export type ResumeCharging = z.infer<typeof ResumeCharging>;

export const ReverseCharge = z
  .strictObject({
    payment_id: idOf('a payment').describe('the charge to reverse'),
    by: Who,
    why: Why,
  })
  .meta({
    examples: [
      { payment_id: '820000000001', by: 'lena', why: 'the caller was a colleague of ours' },
    ],
  });
export type ReverseCharge = z.infer<typeof ReverseCharge>;

export const SettleByHand = z
  .strictObject({
    payment_id: idOf('a payment').describe('the open charge or reversal'),
    to: z
      .enum(['charged', 'refused', 'free'])
      .describe(
        '`charged`: the trade was done. `refused`: it was not done and never will be, under any id. `free`: it was not done, and the call may be charged, or the charge reversed, under another id',
      ),
    proof: z
      .string()
      .trim()
      .min(1)
      .max(proofLengthMax)
      .describe('what proves it: a ticket, letter or statement line of the payment centre'),
    day: Day.optional().describe(
      'the Shanghai day whose statement lists the trade with this id; required for `charged`',
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

/** The input schema of each function that a person starts, by the function's id. */
export const callInputs = {
  'call/advance-payment-ids': AdvancePaymentIds,
  'call/import-history': ImportHistory,
  'call/reconcile': NamedDays,
  'call/resume-charging': ResumeCharging,
  'call/reverse-charge': ReverseCharge,
  'call/settle-by-hand': SettleByHand,
};
