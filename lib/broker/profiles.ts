import { Rejected } from '../platform/errors.ts';
import { applyBases, type BaseDeps } from './bases.ts';
import { type BrokerEvent, flags, sources } from './queues.ts';

/**
 * Applies a change to the user-facing site. The upstream row decides, not the flag: `kept` means that the message
 * said deleted while the row is there.
 */
export async function applyEvent(deps: BaseDeps, { ids, flag, source }: BrokerEvent) {
  if (source !== sources.base)
    throw new Rejected(`source: ${source} cannot be applied yet; redrive it when it can`);
  const applied = await applyBases(deps, ids);
  return { outcome: wordFor(flag, applied), source, ...applied };
}

function wordFor(flag: number, { present, deleted }: { present: number; deleted: number }) {
  if (flag === flags.deleted && present) return 'kept';
  return deleted && !present ? 'deleted' : 'applied';
}
