import * as z from 'zod';
import { Time, Who, Why } from './fields.ts';

/**
 * What `npm run ops` does to queues without a function of ours in between; nothing else may be
 * noted from outside.
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
    before: z
      .string()
      .regex(/^[1-9]\d{0,18}$/, 'Expected the number of an entry')
      .optional()
      .describe('entries with a lower number: the next page'),
    max: z.int().min(1).max(entriesMax).default(50).describe('entries at most'),
  })
  .meta({ examples: [{ since: '2026-11-20 00:00:00', what: 'switch/' }] });
export type ListAudit = z.infer<typeof ListAudit>;

/** What the functions of the platform that a person starts take, by their ids. */
export const platformInputs = {
  'platform/list-audit': ListAudit,
  'platform/record-action': Action,
  'platform/report-state': ReportState,
  'platform/set-switch': SetSwitch,
};
