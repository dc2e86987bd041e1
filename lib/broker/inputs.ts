import * as z from 'zod';
import { AnyId, Time, WallTimeText, Who, Why } from '../platform/fields.ts';
import { sources } from './queues.ts';

const resumed = "of an answer's `resume`; `run` fills it in";

export const PublishAll = z
  .strictObject({
    run: z
      .int()
      .positive()
      .optional()
      .describe(`the run to resume, and to begin no other, ${resumed}`),
    after: z.string().optional().describe(`how far that run came, ${resumed}; its row decides`),
    anew: z
      .literal(true)
      .optional()
      .describe('begins a run although the last one has not ended; else that one is resumed'),
    by: Who.default('unnamed'),
    why: Why.optional(),
  })
  .meta({ examples: [{ by: 'lena', why: 'the site is to be made equal to upstream' }] });
export type PublishAll = z.infer<typeof PublishAll>;

export const Reconcile = z
  .strictObject({
    repair: z
      .boolean()
      .default(true)
      .describe('publishes what differs, so that it is applied; else it is only reported'),
    daily: z
      .boolean()
      .default(false)
      .describe('as the schedule says it: begins no second round on a day'),
    at: z.string().optional().describe(`how far the round came, ${resumed}`),
  })
  .meta({ examples: [{ repair: false }] });
export type Reconcile = z.infer<typeof Reconcile>;

/** What may be published once more, by the name that `resume` has for it. */
export const rewindParts = [
  'brokers',
  'extensions',
  'talents',
  'stars',
  'companies',
  'stores',
] as const;
/** The micro-shop does not say what changed, so that its source is none of these. */
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
    dryRun: z.boolean().default(true).describe('only says how much it would be'),
    source: z
      .literal(rewindSources, `Expected one of ${rewindSources.join(', ')}`)
      .optional()
      .describe('publishes nothing else'),
    by: Who.optional(),
    why: Why.optional(),
    from: z
      .strictObject({
        part: z.enum(rewindParts),
        time: WallTimeText,
        id: AnyId,
      })
      .optional()
      .describe(`where the last invocation ended, ${resumed}`),
    published: z.int().min(0).default(0).describe(`how many were published before, ${resumed}`),
  })
  .refine(({ dryRun, by, why }) => dryRun || (by && why), {
    path: ['by'],
    message: 'Without dryRun it needs `by` and `why`, for the audit trail',
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

/** What the functions of this domain that a person starts take, by their ids. */
export const brokerInputs = {
  'broker/publish-all-bases': PublishAll,
  'broker/publish-all-companies': PublishAll,
  'broker/publish-all-stores': PublishAll,
  'broker/reconcile-profiles': Reconcile,
  'broker/rewind-producers': Rewind,
};
