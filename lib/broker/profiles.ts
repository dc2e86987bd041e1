import { bases } from './bases.ts';
import { companies } from './companies.ts';
import { applyKind } from './kinds.ts';
import type { Applied } from './mirrors.ts';
import { type BrokerEvent, flags, type Source, sources } from './queues.ts';
import { applyShops, type ShopDeps } from './shops.ts';
import { stores } from './stores.ts';
import { talents } from './talents.ts';

type Apply = (deps: ShopDeps, ids: readonly string[]) => Promise<Applied>;

const applyBy: Readonly<Record<Source, Apply>> = {
  [sources.base]: (deps, ids) => applyKind(deps, bases, ids),
  [sources.weidian]: applyShops,
  [sources.talentAndStar]: (deps, ids) => applyKind(deps, talents, ids),
  [sources.all]: async (deps, ids) => {
    const applied = await applyKind(deps, bases, ids);
    await applyKind(deps, talents, ids);
    await applyShops(deps, ids); // Last: it alone may have to wait for others.
    return applied;
  },
  [sources.store]: (deps, ids) => applyKind(deps, stores, ids),
  [sources.company]: (deps, ids) => applyKind(deps, companies, ids),
};

/**
 * Applies a change to the user-facing site. The upstream row decides, not the flag: `kept` means that the message
 * said deleted while the row is there.
 */
export async function applyEvent(deps: ShopDeps, { ids, flag, source }: BrokerEvent) {
  const applied = await applyBy[source](deps, ids);
  return { outcome: wordFor(flag, applied), source, ...applied };
}

function wordFor(flag: number, { present, deleted }: Applied) {
  if (flag === flags.deleted && present) return 'kept';
  return deleted && !present ? 'deleted' : 'applied';
}
