/** Inputs of the order functions that a person starts. */
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
      .describe(
        'the reader resumes at the present end of the binlog and skips what cannot be read before it',
      ),
    resume: z
      .strictObject({
        after: AnyId,
        start: Place.optional(),
        began: WallTimeText.optional(),
      })
      .optional()
      .describe(
        'the progress of the comparison, copied from `resume` of the last answer; `run` fills it in',
      ),
  })
  .meta({ examples: [{ by: 'lena', why: 'the binlog was purged over the holidays' }] });
export type RepairGap = z.infer<typeof RepairGap>;

export const Resend = z
  .strictObject({
    order_id: idOf('an order').describe('the order whose pushes are sent again'),
    push_id: z
      .string()
      .length(64)
      .optional()
      .describe(
        'one push of the order, in state refused or unknown; default: all pushes in state refused',
      ),
    by: Who,
    why: Why,
  })
  .meta({ examples: [{ order_id: '7001', by: 'lena', why: 'Singer knows the nurse now' }] });
export type Resend = z.infer<typeof Resend>;

/** The input schemas by function id. */
export const orderInputs = { 'order/repair-gap': RepairGap, 'order/resend-push': Resend };
