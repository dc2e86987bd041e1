/** Isolates ids that cannot be applied by halving a failed list. */
import { isUnavailable } from '../../platform/errors.ts';
import type { SyncCounts } from './sync-rows.ts';

/** An id that could not be applied, and why. */
export interface Failure {
  readonly id: string;
  readonly error: Error;
}

export interface ApplyResult extends SyncCounts {
  readonly failures: readonly Failure[];
}

/**
 * Applies ids together. After an error it applies each half separately, recursively, so that an id whose row cannot
 * be read or written does not block the others. An unavailable database fails all ids.
 */
export async function applyInHalves(
  ids: readonly string[],
  apply: (ids: readonly string[]) => Promise<SyncCounts>,
): Promise<ApplyResult> {
  try {
    return { ...(await apply(ids)), failures: [] };
  } catch (error) {
    if (!(error instanceof Error) || isUnavailable(error)) throw error;
    const [id = ''] = ids;
    if (ids.length === 1) return { present: 0, deleted: 0, failures: [{ id, error }] };
    const middle = Math.ceil(ids.length / 2);
    const first = await applyInHalves(ids.slice(0, middle), apply);
    const second = await applyInHalves(ids.slice(middle), apply);
    return {
      present: first.present + second.present,
      deleted: first.deleted + second.deleted,
      failures: [...first.failures, ...second.failures],
    };
  }
}
