/** Inputs of the broker functions that a person starts. */
import * as z from 'zod';
import { AnyId, Time, WallTimeText, Who, Why } from '../platform/fields.ts';
import { sources } from './queues.ts';

const resumed = "from an answer's `resume`; `run` fills it in";

export const PublishAll = z
  .strictObject({
    run: z
      .int()
      .positive()
      .optional()
      .describe(`the run to resume; no other is started; ${resumed}`),
    after: z
      .string()
      .optional()
      .describe(`how far that run came, ${resumed}; for information only: the run’s row decides`),
    anew: z
      .literal(true)
      .optional()
      .describe('starts a new run even if the last one is unfinished; default: resume it'),
    by: Who.default('unnamed'),
    why: Why.optional(),
  })
  .meta({ examples: [{ by: 'lena', why: 'the site must equal upstream again' }] });
export type PublishAll = z.infer<typeof PublishAll>;

export const Reconcile = z
  .strictObject({
    repair: z
      .boolean()
      .default(true)
      .describe('publishes rows that differ, so that they are applied; false: only reports them'),
    daily: z
      .boolean()
      .default(false)
      .describe('as the schedule does: starts at most one round a day'),
    at: z.string().optional().describe(`how far the round came, ${resumed}`),
  })
  .meta({ examples: [{ repair: false }] });
export type Reconcile = z.infer<typeof Reconcile>;

/** The parts that can be republished, in order; `from.part` of a `resume` is one of them. */
export const rewindParts = [
  'brokers',
  'extensions',
  'talents',
  'stars',
  'companies',
  'stores',
] as const;
/** The micro shop is missing here, because its service does not say what changed. */
export const rewindSources = [
  sources.base,
  sources.talentAndStar,
  sources.company,
  sources.store,
] as const;

export const Rewind = z
  .strictObject({
    since: Time.describe(
      'changes at or after this time: "2026-11-20 00:00:00" in Shanghai, or with its zone',
    ),
    dryRun: z.boolean().default(true).describe('only counts what would be published'),
    source: z
      .literal(rewindSources, `Expected one of ${rewindSources.join(', ')}`)
      .optional()
      .describe('publishes only this source'),
    by: Who.optional(),
    why: Why.optional(),
    from: z
      .strictObject({
        part: z.enum(rewindParts),
        time: WallTimeText,
        id: AnyId,
      })
      .optional()
      .describe(`where the last invocation stopped, ${resumed}`),
    published: z
      .int()
      .min(0)
      .default(0)
      .describe(`how many rows earlier invocations published, ${resumed}`),
  })
  .refine(({ dryRun, by, why }) => dryRun || (by && why), {
    path: ['by'],
    message: 'A run with `dryRun: false` needs `by` and `why`, for the audit trail',
  })
  .meta({
    examples: [
      { since: '2026-11-20 00:00:00' },
      {
        since: '2026-11-20T00:00:00+08:00',
        dryRun: false,
        by: 'lena',
        why: 'messages of the night were lost',
      },
    ],
  });
export type Rewind = z.infer<typeof Rewind>;

/** The inputs by function id. */
export const brokerInputs = {
  'broker/publish-all-bases': PublishAll,
  'broker/publish-all-companies': PublishAll,
  'broker/publish-all-stores': PublishAll,
  'broker/reconcile-profiles': Reconcile,
  'broker/rewind-producers': Rewind,
};
