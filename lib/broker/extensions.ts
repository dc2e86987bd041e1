import type { Kysely } from 'kysely';
import * as z from 'zod';
import type { Claim } from '../platform/claim.ts';
import type { Tick } from '../platform/schedule.ts';
import { wallTime } from '../platform/time.ts';
import { everyShop, everyTalent, starsOf } from './places.ts';
import { type Source, sources } from './queues.ts';
import type { BrokerSettings } from './settings.ts';
import type { UpstreamTables, WalkTables } from './tables.ts';
import {
  alone,
  beginWalk,
  goOn,
  type Ids,
  lastWalk,
  merged,
  type Walk,
  type WalkDeps,
  type Walked,
} from './walks.ts';

export interface ExtensionDeps extends WalkDeps {
  readonly upstream: Kysely<UpstreamTables>;
  readonly settings: () => Promise<BrokerSettings>;
}

/** The input of each schedule. Fields that a later release adds are ignored: its schedules start the older code, too. */
export const Input = z.object({ mode: z.enum(['weidian', 'star', 'talent-and-star']) });
type Input = z.infer<typeof Input>;
type Mode = Input['mode'];

interface Synchronisation {
  readonly source: Source;
  /** Whether one is enough for a day; else each tick begins another. */
  readonly daily: boolean;
  readonly places: (
    upstream: Kysely<UpstreamTables>,
    mysql: Kysely<WalkTables>,
    day: string,
  ) => readonly Ids[];
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
 * Synchronises extended profiles in one of three modes. A tick goes on with a synchronisation that was out of time,
 * for the day for which it was begun; then it begins its own day's, unless that one has ended.
 */
export async function publishExtProfiles(
  deps: ExtensionDeps,
  { at, remaining, input: { mode } }: Tick & { readonly input: Input },
) {
  const { mysql } = deps;
  const name = `broker/publish-ext-profiles:${mode}`;
  const today = wallTime(at).slice(0, 10);
  const done = await alone(mysql, name, async (claimed) => {
    const last = await lastWalk(mysql, name);
    const left =
      last && !last.ended ? await walkOn(deps, mode, claimed, last, remaining) : undefined;
    if (left && left.outcome !== 'published') return told(left);
    if (modes[mode].daily && last && last.day >= today)
      return left ? told(left) : { outcome: 'published before', day: last.day };
    const begun = await beginWalk(mysql, claimed, { day: today, total: 0 });
    return told(await walkOn(deps, mode, claimed, begun, remaining));
  });
  return { mode, ...done };
}

async function walkOn(
  deps: ExtensionDeps,
  mode: Mode,
  claimed: Claim,
  walk: Walk,
  remaining: () => number,
): Promise<Walked> {
  const { source, places } = modes[mode];
  const { pageRowsMax } = await deps.settings();
  const ids = merged(...places(deps.upstream, deps.mysql, walk.day));
  return await goOn(deps, claimed, walk, { source, ids, pageRowsMax }, { remaining });
}

const told = ({ outcome, walk: { day, published } }: Walked) => ({ outcome, day, published });
