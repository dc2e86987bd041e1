import * as z from 'zod';
import { AnyId, idOf, WallTimeText, Who, Why } from '../platform/fields.ts';

const Place = z.strictObject({
  serverUuid: z.string(),
  gtidSet: z.string().nullable(),
  file: z.string(),
  position: z.int(),
});

export const RepairGap = z
  .strictObject({
    by: Who,
    why: Why,
    pass: z
      .boolean()
      .default(false)
      .describe("resumes after the binlog's present end, whatever is before it and cannot be read"),
    resume: z
      .strictObject({
        after: AnyId,
        start: Place.optional(),
        began: WallTimeText.optional(),
      })
      .optional()
      .describe("how far the comparison came, of an answer's `resume`; `run` fills it in"),
  })
  .meta({ examples: [{ by: 'lena', why: 'the binlog was purged over the holidays' }] });
export type RepairGap = z.infer<typeof RepairGap>;

export const Resend = z
  .strictObject({
    order_id: idOf('an order').describe('whose pushes'),
    push_id: z
      .string()
      .length(64)
      .optional()
      .describe('one of them, refused or unknown; without it all that were refused'),
    by: Who,
    why: Why,
  })
  .meta({ examples: [{ order_id: '7001', by: 'lena', why: 'Singer knows the nurse now' }] });
export type Resend = z.infer<typeof Resend>;

/** What the functions of this domain that a person starts take, by their ids. */
export const orderInputs = { 'order/repair-gap': RepairGap, 'order/resend-push': Resend };
