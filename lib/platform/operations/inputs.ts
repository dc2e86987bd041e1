/** The schemas of the inputs of the platform's manual functions. */
import * as z from 'zod';
import { IdText, Time, Who, Why } from '../fields.ts';

/**
 * An action of `npm run ops` on a queue, for which no function of ours runs. No other action may be recorded from
 * outside.
 */
export const Action = z
  .strictObject({
    by: Who,
    what: z.enum(['dead/redrive', 'dead/drop']).describe('what was done to a queue'),
    why: Why,
    detail: z.record(z.string(), z.json()).describe('the queue, and how many letters'),
  })
  .meta({
    examples: [
      {
        by: 'lena',
        what: 'dead/drop',
        why: 'the sender corrected them',
        detail: { id: 'broker/apply-event', phase: 'begun' },
      },
    ],
  });
export type Action = z.infer<typeof Action>;

export const SetSwitch = z
  .strictObject({
    name: z
      .string()
      .regex(/^[\w/.:-]{1,100}$/, 'Expected up to 100 letters, digits or _ / . : -')
      .describe('a kill switch; `switch list --all` names those there are'),
    state: z.enum(['off', 'on']).describe('`off` stops what it names, `on` lifts it'),
    by: Who,
    why: Why,
  })
  .meta({
    examples: [{ name: 'charging', state: 'off', by: 'lena', why: 'calls are charged twice' }],
  });
export type SetSwitch = z.infer<typeof SetSwitch>;

export const ReportState = z
  .strictObject({
    allSwitches: z
      .boolean()
      .default(false)
      .describe('names every kill switch there is with what it stops, not only those ever set'),
  })
  .meta({ examples: [{}] });
export type ReportState = z.infer<typeof ReportState>;

const entriesMax = 200;

export const ListAudit = z
  .strictObject({
    since: Time.optional().describe(
      'entries at or after this time: "2026-11-20 00:00:00" in Shanghai, or with its zone',
    ),
    until: Time.optional().describe('entries at or before this time'),
    by: z.string().min(1).optional().describe('of this person'),
    what: z
      .string()
      .min(1)
      .optional()
      .describe('whose action begins so: `switch/`, `dead/redrive`'),
    about: z
      .string()
      .min(1)
      .optional()
      .describe('in whose reason or detail this text is, as it is written there'),
    before: IdText('Expected the number of an entry')
      .optional()
      .describe('entries with a lower number: the next page'),
    max: z.int().min(1).max(entriesMax).default(50).describe('entries at most'),
  })
  .meta({ examples: [{ since: '2026-11-20 00:00:00', what: 'switch/' }] });
export type ListAudit = z.infer<typeof ListAudit>;

const destination = z
  .string()
  .regex(
    /^(queue:[\w-]+\/[\w-]+|event:[\w/-]+|invalidate[\w:-]*)$/,
    'Expected a destination: queue:<function id>, event:<name> or invalidate',
  );

export const ListOutbox = z
  .strictObject({
    to: destination
      .optional()
      .describe('rows of this destination: queue:<function id>, event:<name> or invalidate'),
    all: z
      .boolean()
      .default(false)
      .describe('also rows that wait for their time, or under a kill switch'),
    max: z.int().min(1).max(entriesMax).default(50).describe('rows at most'),
  })
  .meta({ examples: [{ to: 'queue:broker/apply-event' }] });
export type ListOutbox = z.infer<typeof ListOutbox>;

export const ChangeOutbox = z
  .strictObject({
    do: z
      .enum(['retry', 'drop'])
      .describe('`retry` makes rows due now, `drop` deletes them: what they say never follows'),
    id: IdText('Expected the id of a row, as `outbox list` shows it')
      .optional()
      .describe('this row'),
    to: destination
      .optional()
      .describe('instead of one row: those of this destination that were refused, oldest first'),
    max: z.int().min(1).max(1000).default(1000).describe('rows at most, with `to`'),
    dryRun: z.boolean().default(false).describe('only says how many rows it would be'),
    by: Who,
    why: Why,
  })
  .refine(({ id, to }) => (id === undefined) !== (to === undefined), {
    path: ['id'],
    message: 'Expected either `id` or `to`',
  })
  .meta({
    examples: [{ do: 'retry', id: '4711', by: 'lena', why: 'its queue is deployed again' }],
  });
export type ChangeOutbox = z.infer<typeof ChangeOutbox>;

/** The input schemas of the platform's manual functions, by function id. */
export const platformInputs = {
  'platform/change-outbox': ChangeOutbox,
  'platform/list-audit': ListAudit,
  'platform/list-outbox': ListOutbox,
  'platform/record-action': Action,
  'platform/report-state': ReportState,
  'platform/set-switch': SetSwitch,
};
