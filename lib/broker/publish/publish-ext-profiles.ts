import type { Kysely, Transaction } from 'kysely';
import * as z from 'zod';
import type { Tick } from '../../platform/lambda/schedule.ts';
import type { Lease } from '../../platform/mysql/lease.ts';
import { plusSeconds, wallTime } from '../../platform/time.ts';
import { type Source, sources } from '../queues.ts';
import type { BrokerSettings } from '../settings.ts';
import type { FullRunTables, UpstreamTables } from '../tables.ts';
import {
  continueRun,
  type FullRun,
  type FullRunDeps,
  type FullRunResult,
  type IdSource,
  lastFullRun,
  mergeIdSources,
  startFullRun,
  withExclusiveRun,
} from './full-run.ts';
import { everyShop, everyTalent, starsOf } from './id-sources.ts';
import { dayOf, deleteStars, startedAfterDay, newStars } from './stars.ts';

export interface PublishExtProfilesDeps extends FullRunDeps {
  readonly upstream: Kysely<UpstreamTables>;
  readonly settings: () => Promise<BrokerSettings>;
}

/** The input of each schedule. Fields that a later release adds are ignored: its schedules start the older code, too. */
export const Input = z.object({ mode: z.enum(['weidian', 'star', 'talent-and-star']) });
type Input = z.infer<typeof Input>;
type Mode = Input['mode'];

interface Synchronisation {
  readonly source: Source;
  /**
   * Whether one is enough for a day. Else each tick begins another, and the first tick after a day looks at that day
   * once more: what changed after its last tick, or while ticks were missed.
   */
  readonly daily: boolean;
  readonly places: (
    upstream: Kysely<UpstreamTables>,
    mysql: Kysely<FullRunTables>,
    day: string,
  ) => readonly IdSource[];
}

const modes: Readonly<Record<Mode, Synchronisation>> = {
  weidian: { source: sources.weidian, daily: true, places: everyShop },
  star: {
    source: sources.talentAndStar,
    daily: false,
    places: (upstream, _, day) => starsOf(upstream, day),
  },
  'talent-and-star': {
    source: sources.talentAndStar,
    daily: true,
    places: (upstream, mysql, day) => [...starsOf(upstream, day), ...everyTalent(upstream, mysql)],
  },
};

/**
 * Synchronises extended profiles in one of three modes. A tick resumes a synchronisation that was out of time, for the
 * day for which it was begun; then it begins those that are missing, up to its own day's.
 */
export async function publishExtProfiles(
  deps: PublishExtProfilesDeps,
  { at, remaining, input: { mode } }: Tick & { readonly input: Input },
) {
  const { mysql } = deps;
  const name = `broker/publish-ext-profiles:${mode}`;
  const time = wallTime(at);
  const today = dayOf(time);
  const { daily } = modes[mode];
  const done = await withExclusiveRun(mysql, name, async (claimed) => {
    let last = await lastFullRun(mysql, name);
    let walked: FullRunResult | undefined;
    if (last && !last.ended) {
      walked = await walkOn(deps, mode, claimed, last, remaining);
      if (walked.outcome !== 'published') return told(walked);
    }
    if (daily && last && last.day >= today)
      return walked ? told(walked) : { outcome: 'published before', day: last.day };
    for (;;) {
      const day = daily || !last ? today : nextDay(last, today);
      last = await startFullRun(mysql, claimed, { day, total: 0, at: time }, deleteStars);
      walked = await walkOn(deps, mode, claimed, last, remaining);
      if (walked.outcome !== 'published' || day >= today) return told(walked);
    }
  });
  return { mode, ...done };
}

const daySeconds = 86_400;

/** The day that follows what was synchronised last: the same again where it had not ended when that began. */
function nextDay(last: FullRun, today: string): string {
  if (last.day >= today) return today;
  return startedAfterDay(last) ? dayOf(plusSeconds(`${last.day} 00:00:00`, daySeconds)) : last.day;
}

async function walkOn(
  deps: PublishExtProfilesDeps,
  mode: Mode,
  claimed: Lease,
  walk: FullRun,
  remaining: () => number,
): Promise<FullRunResult> {
  const { source, places } = modes[mode];
  const { pageRowsMax } = await deps.settings();
  const ids = mergeIdSources(...places(deps.upstream, deps.mysql, walk.day));
  const ground = { source, ids, pageRowsMax };
  const fresh = (trx: Transaction<FullRunTables>, page: readonly string[]) =>
    newStars(trx, deps.upstream, walk, page);
  const all = mode === 'star' ? { ...ground, fresh } : ground;
  return await continueRun(deps, claimed, walk, all, { remaining });
}

const told = ({ outcome, fullRun: { day, published } }: FullRunResult) => ({
  outcome,
  day,
  published,
});
