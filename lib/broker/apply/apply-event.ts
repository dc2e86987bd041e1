import { Postponed } from '../../platform/errors.ts';
import { postpone } from '../../platform/messaging/outbox.ts';
import { dateOf } from '../../platform/time.ts';
import { type BrokerEvent, brokerEvents, flags, type Source, sources } from '../queues.ts';
import { bases } from './bases.ts';
import { companies } from './companies.ts';
import {
  applyMicroShops,
  databaseTime,
  type MicroShopDeps,
  type MicroShopsResult,
  type WaitingIds,
} from './micro-shops.ts';
import type { ApplyResult, Failure } from './portions.ts';
import { stores } from './stores.ts';
import type { SyncCounts } from './sync-rows.ts';
import { syncEntity } from './synced-entity.ts';
import { talents } from './talents.ts';

/** `unusable` are ids that the message named and that can be the id of nothing. */
type Event = BrokerEvent & { readonly unusable?: readonly string[] };
type Apply = (deps: MicroShopDeps, ids: readonly string[]) => Promise<ApplyResult | MicroShopsResult>;

const applyBy: Readonly<Record<Source, Apply>> = {
  [sources.base]: (deps, ids) => syncEntity(deps, bases, ids),
  [sources.weidian]: applyMicroShops,
  [sources.talentAndStar]: (deps, ids) => syncEntity(deps, talents, ids),
  [sources.all]: async (deps, ids) => {
    const base = await syncEntity(deps, bases, ids);
    const talent = await syncEntity(deps, talents, ids);
    const shop = await applyMicroShops(deps, ids); // Last: it alone may have to wait for others.
    const failures = [...base.failures, ...talent.failures, ...shop.failures];
    return { ...base, failures, waiting: shop.waiting };
  },
  [sources.store]: (deps, ids) => syncEntity(deps, stores, ids),
  [sources.company]: (deps, ids) => syncEntity(deps, companies, ids),
};

/**
 * Applies a change to the user-facing site. The upstream row decides, not the flag: `kept` means that the message
 * said deleted while the row is there.
 *
 * Each id that cannot be applied becomes a message of its own, and so do those whose micro-shop could not be asked
 * for: the others are applied. Only where nothing of the message could be done the
 * message itself fails, or waits.
 */
export async function applyEvent(deps: MicroShopDeps, event: Event) {
  const { ids, unusable = [], flag, source } = event;
  const done = await applyBy[source](deps, ids);
  const { present, deleted } = done;
  const failures = Array.from(new Map(done.failures.map((one) => [one.id, one])).values());
  const waiting = 'waiting' in done ? done.waiting : [];
  const [failure] = failures;
  const [first, ...others] = waiting;
  const isNothing = !present && !deleted;
  if (isNothing && first && !failure && !others.length) throw first.postponed;
  // A message of one id cannot be separated from it: it would come again endlessly.
  const isWholeFailure = ids.length === 1 || (isNothing && !first);
  await separate(deps, event, failure && isWholeFailure ? [] : failures, waiting);
  if (failure && isWholeFailure) throw failure.error;
  const isAll = !failures.length && !waiting.length && !unusable.length;
  return {
    outcome: isAll ? wordFor(flag, done) : 'partly applied',
    ...{ source, present, deleted },
    ...(failures.length && {
      failed: failures.map(({ id, error }) => ({ id, why: error.message })),
    }),
    ...(waiting.length && { waiting: waiting.flatMap((one) => one.ids) }),
    ...(unusable.length && { unusable }),
  };
}

/** By way of the outbox: what comes of one does not depend on the others of its message. */
async function separate(
  { mysql }: MicroShopDeps,
  { flag, source }: Event,
  failures: readonly Failure[],
  waiting: readonly WaitingIds[],
): Promise<void> {
  if (!failures.length && !waiting.length) return;
  const now = dateOf(await databaseTime(mysql));
  const rest = (ids: readonly string[], of: Source, postponed: Postponed) =>
    postpone(
      mysql as never,
      brokerEvents,
      JSON.stringify({ broker_ids: ids.join(','), flag, source: of }),
      postponed,
    );
  for (const { ids, postponed } of waiting) await rest(ids, sources.weidian, postponed);
  for (const { id, error } of failures) await rest([id], source, new Postponed(now, error.message));
}

function wordFor(flag: number, { present, deleted }: SyncCounts) {
  if (flag === flags.deleted && present) return 'kept';
  return deleted && !present ? 'deleted' : 'applied';
}
