/** The schemas of the old system's rows. */
import * as z from 'zod';
import { Id, importedIdMax } from '../../platform/ids.ts';
import { dateOrNull } from '../../platform/time.ts';

/** A row of the old system before validation; `key` is its id. */
export type OldRow = Readonly<Record<string, unknown>> & { readonly key: string };

/** A text column with the length of ours. A row that does not fit is reported, never shortened. */
const Text = (charactersMax: number) =>
  z
    .union([z.string(), z.number()], 'Expected a text')
    .transform(String)
    .refine(
      (text) => Array.from(text).length <= charactersMax,
      `Expected at most ${charactersMax} characters`,
    );
/** An integer, which the MySQL driver returns as text if it is large. */
const Whole = (min: number, max: number) =>
  z
    .union([z.int(), z.string().regex(/^-?\d{1,16}$/)], 'Expected a whole number')
    .transform(Number)
    .refine((value) => value >= min && value <= max, `Expected ${min} to ${max}`);
const Int = Whole(-(2 ** 31), 2 ** 31 - 1);
const Tiny = Whole(-128, 127);
const CallType = Tiny.nullable().transform((type) => type ?? 1);
const Fen = Whole(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
const Time = z
  .string('Expected a time')
  .refine((time) => dateOrNull(time) !== null, 'Expected a time that exists');
const dayMs = 86_400_000;
/** A time up to one day in the future, because clocks may differ by hours. */
const Past = Time.refine(
  (time) => (dateOrNull(time)?.getTime() ?? 0) <= Date.now() + dayMs,
  'Expected a time that is not in the future',
);
/** The id of a table with AUTO_INCREMENT: the limit leaves ids for new rows. */
const Numbered = Id.refine(
  (id) => BigInt(id) <= BigInt(importedIdMax),
  `Expected at most ${importedIdMax}`,
);

export const OldCall = z.object({
  key: Numbered,
  call_id: Text(64).refine((name) => name !== '', 'Expected a name'),
  user_id: Id,
  caller: Text(32),
  callee: Text(32),
  status: Int,
  started_at: Time,
  duration: Int,
  call_type: CallType,
  filter_rule: Tiny,
  created_at: Time,
});
export type OldCall = z.infer<typeof OldCall>;

export const OldContract = z.object({
  key: Id,
  contract_no: Text(64).refine((number) => number !== '', 'Expected a number'),
  user_id: Id,
  customer: Text(128),
  amount_fen: Fen,
  balance_fen: Fen.refine((fen) => fen >= 0, 'Expected no debt'),
  signed_at: Time,
});
export type OldContract = z.infer<typeof OldContract>;

export const OldIncome = z.object({
  key: Numbered,
  payment_id: Id,
  contract_id: Id.nullable(),
  user_id: Id,
  amount_fen: Fen,
  created_at: Time,
});
export type OldIncome = z.infer<typeof OldIncome>;

export const OldPayment = z.object({
  key: Numbered,
  /** The name of its call; null if the old system does not have the call. */
  call_id: Text(64).nullable(),
  call_log_id: Id.nullable(),
  reverses_id: Id.nullable(),
  user_id: Id,
  amount_fen: Fen,
  call_type: CallType,
  state: z.enum(['charged', 'refused'], 'Expected charged or refused'),
  balance_fen: Fen.nullable(),
  reason: Text(500).nullable(),
  created_at: Past,
  updated_at: Time,
});
export type OldPayment = z.infer<typeof OldPayment>;
