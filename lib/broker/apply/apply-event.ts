/** Applies one message of changed brokers, stores or companies to the user-facing tables. */
import { Postponed } from '../../platform/errors.ts';
import { postpone } from '../../platform/messaging/outbox.ts';
import type { OutcomeWord } from '../../platform/outcomes.ts';
import { dateOf } from '../../platform/time.ts';
import { type BrokerEvent, brokerEvents, flags, type Source, sources } from '../queues.ts';
import type { ApplyResult, Failure } from './apply-in-halves.ts';
import { bases } from './bases.ts';
import { companies } from './companies.ts';
import {
  applyMicroShops,
  databaseTime,
  type MicroShopDeps,
  type MicroShopsResult,
  type WaitingIds,
} from './micro-shops.ts';
import { stores } from './stores.ts';
import type { SyncCounts } from './sync-rows.ts';
import { syncEntity } from './synced-entity.ts';
import { talents } from './talents.ts';

/** `unusable`: ids of the message that no row can have. */
type Event = BrokerEvent & { readonly unusable?: readonly string[] };
type Apply = (
  deps: MicroShopDeps,
  ids: readonly string[],
) => Promise<ApplyResult | MicroShopsResult>;

const applyBySource: Readonly<Record<Source, Apply>> = {
  [sources.base]: (deps, ids) => syncEntity(deps, bases, ids),
  [sources.weidian]: applyMicroShops,
  [sources.talentAndStar]: (deps, ids) => syncEntity(deps, talents, ids),
  [sources.all]: async (deps, ids) => {
    const base = await syncEntity(deps, bases, ids);
    const talent = await syncEntity(deps, talents, ids);
    const shop = await applyMicroShops(deps, ids); // Last, because only this one depends on a partner.
    const failures = [...base.failures, ...talent.failures, ...shop.failures];
    return { ...base, failures, waiting: shop.waiting };
  },
  [sources.store]: (deps, ids) => syncEntity(deps, stores, ids),
  [sources.company]: (deps, ids) => syncEntity(deps, companies, ids),
};

/**
 * Applies a change to the user-facing site. The upstream row decides, not the flag: `kept` means that the message
 * said deleted but the row exists.
 *
 * Ids that cannot be applied, and ids whose micro shop could not be queried, are requeued as separate messages; the
 * others are applied. The message itself fails or is postponed only if nothing of it could be applied.
 */
export async function applyEvent(deps: MicroShopDeps, event: Event) {
  const { ids, unusable = [], flag, source } = event;
  const result = await applyBySource[source](deps, ids);
  const { present, deleted } = result;
  const failures = Array.from(new Map(result.failures.map((one) => [one.id, one])).values());
  const waiting = 'waiting' in result ? result.waiting : [];
  const [failure] = failures;
  const [firstWaiting, ...othersWaiting] = waiting;
  const isNothing = !present && !deleted;
  if (isNothing && firstWaiting && !failure && !othersWaiting.length) throw firstWaiting.postponed;
  // A message of one id must fail itself: requeued as a separate message, it would come back endlessly.
  const isWholeFailure = ids.length === 1 || (isNothing && !firstWaiting);
  await requeueSeparately(deps, event, failure && isWholeFailure ? [] : failures, waiting);
  if (failure && isWholeFailure) throw failure.error;
  const isAll = !failures.length && !waiting.length && !unusable.length;
  const outcome: OutcomeWord = isAll ? outcomeOf(flag, result) : 'partly-applied';
  return {
    outcome,
    source,
    present,
    deleted,
    ...(failures.length && {
      failed: failures.map(({ id, error }) => ({ id, why: error.message })),
    }),
    ...(waiting.length && { waiting: waiting.flatMap((one) => one.ids) }),
    ...(unusable.length && { unusable }),
  };
}

/** Writes a message into the outbox for each failed id, and for each group of waiting ids. */
async function requeueSeparately(
  { mysql }: MicroShopDeps,
  { flag, source }: Event,
  failures: readonly Failure[],
  waiting: readonly WaitingIds[],
): Promise<void> {
  if (!failures.length && !waiting.length) return;
  const now = dateOf(await databaseTime(mysql));
  const requeue = (ids: readonly string[], of: Source, postponed: Postponed) =>
    postpone(
      mysql,
      brokerEvents,
      JSON.stringify({ broker_ids: ids.join(','), flag, source: of }),
      postponed,
    );
  for (const { ids, postponed } of waiting) await requeue(ids, sources.weidian, postponed);
  for (const { id, error } of failures)
    await requeue([id], source, new Postponed(now, error.message));
}

function outcomeOf(flag: number, { present, deleted }: SyncCounts): OutcomeWord {
  if (flag === flags.deleted && present) return 'kept';
  return deleted && !present ? 'deleted' : 'applied';
}
