/** Synchronises extended profiles: micro shops, WeChat talents and star agents. */
import type { Kysely, Transaction } from 'kysely';
import * as z from 'zod';
import type { Outcome } from '../../platform/lambda/log.ts';
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
import { dayOf, deleteStars, newStars, startedAfterDay } from './stars.ts';

export interface PublishExtProfilesDeps extends FullRunDeps {
  readonly upstream: Kysely<UpstreamTables>;
  readonly settings: () => Promise<BrokerSettings>;
}

/**
 * The input of each schedule. Unknown fields are ignored, because the schedules of a later release may start this
 * code.
 */
export const Input = z.object({ mode: z.enum(['weidian', 'star', 'talent-and-star']) });
type Input = z.infer<typeof Input>;
type Mode = Input['mode'];

interface Synchronisation {
  readonly source: Source;
  /**
   * Whether one run a day is enough. Otherwise each tick starts a run, and the first tick after a day runs that day
   * once more, for changes after its last tick and for missed ticks.
   */
  readonly daily: boolean;
  readonly idSources: (
    upstream: Kysely<UpstreamTables>,
    mysql: Kysely<FullRunTables>,
    day: string,
  ) => readonly IdSource[];
}

const modes: Readonly<Record<Mode, Synchronisation>> = {
  weidian: { source: sources.weidian, daily: true, idSources: everyShop },
  star: {
    source: sources.talentAndStar,
    daily: false,
    idSources: (upstream, _, day) => starsOf(upstream, day),
  },
  'talent-and-star': {
    source: sources.talentAndStar,
    daily: true,
    idSources: (upstream, mysql, day) => [
      ...starsOf(upstream, day),
      ...everyTalent(upstream, mysql),
    ],
  },
};

/**
 * Synchronises extended profiles in one of three modes. A tick first resumes an unfinished run, for the day for which
 * it was started; then it runs the missing days, up to its own day.
 */
export async function publishExtProfiles(
  deps: PublishExtProfilesDeps,
  { at, remaining, input: { mode } }: Tick & { readonly input: Input },
): Promise<Outcome> {
  const { mysql } = deps;
  const name = `broker/publish-ext-profiles:${mode}`;
  const time = wallTime(at);
  const today = dayOf(time);
  const { daily } = modes[mode];
  const answer = await withExclusiveRun(mysql, name, async (lease) => {
    let last = await lastFullRun(mysql, name);
    let result: FullRunResult | undefined;
    if (last && !last.ended) {
      result = await continueInMode(deps, mode, lease, last, remaining);
      if (result.outcome !== 'published') return summaryOf(result);
    }
    if (daily && last && last.day >= today)
      return result ? summaryOf(result) : { outcome: 'already-published' as const, day: last.day };
    for (;;) {
      const day = daily || !last ? today : nextDay(last, today);
      last = await startFullRun(mysql, lease, { day, total: 0, at: time }, deleteStars);
      result = await continueInMode(deps, mode, lease, last, remaining);
      if (result.outcome !== 'published' || day >= today) return summaryOf(result);
    }
  });
  return { mode, ...answer };
}

const daySeconds = 86_400;

/** Returns the day after the last run's day, or the same day if that run started before the day had ended. */
function nextDay(last: FullRun, today: string): string {
  if (last.day >= today) return today;
  return startedAfterDay(last) ? dayOf(plusSeconds(`${last.day} 00:00:00`, daySeconds)) : last.day;
}

async function continueInMode(
  deps: PublishExtProfilesDeps,
  mode: Mode,
  lease: Lease,
  fullRun: FullRun,
  remaining: () => number,
): Promise<FullRunResult> {
  const { source, idSources } = modes[mode];
  const { pageRowsMax } = await deps.settings();
  const ids = mergeIdSources(...idSources(deps.upstream, deps.mysql, fullRun.day));
  const allIds = { source, ids, pageRowsMax };
  const select = (trx: Transaction<FullRunTables>, page: readonly string[]) =>
    newStars(trx, deps.upstream, fullRun, page);
  const runSource = mode === 'star' ? { ...allIds, select } : allIds;
  return await continueRun(deps, lease, fullRun, runSource, { remaining });
}

const summaryOf = ({ outcome, fullRun: { day, published } }: FullRunResult) => ({
  outcome,
  day,
  published,
});
