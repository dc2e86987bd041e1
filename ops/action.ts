import { userInfo } from 'node:os';
import { type Letter, remove, send } from './dead-letters.ts';
import { checkOptions } from './inputs.ts';
import { invoke } from './invoke.ts';
import { type WalkDeps, type Walked, walk } from './look-through.ts';
import type { Drained, Target } from './target.ts';

export interface Move {
  readonly what: 'redrive' | 'drop';
  readonly dryRun: boolean;
  readonly reason: string | undefined;
  /** Letters of this queue at most; all without it. */
  readonly max: number | undefined;
  /** Letters that are looked at and left. */
  readonly look: number;
  readonly why: string | undefined;
  readonly by: string | undefined;
}

export interface Moved {
  readonly done: number;
  /** Looked at and left where they are. */
  readonly others: number;
  /** Redriven, and set aside again already: they are not sent a second time. */
  readonly cameBack: number;
  /** Refused by SQS. */
  readonly failed: number;
  /** Of these, letters that were sent and whose deletion was refused: they are on both queues. */
  readonly onBoth: number;
}

interface MoveDeps extends Omit<WalkDeps, 'sqs'> {
  readonly target: Target;
}

const recordAction = 'platform/record-action';

const entryOf = ({ what, why, by }: Pick<Move, 'what' | 'why' | 'by'>) => ({
  by: by ?? userInfo().username,
  what: `dead/${what}`,
  why,
});

/** Throws `Mistake` where the audit trail would not take who does it, and why. */
export const checkAction = (move: Pick<Move, 'what' | 'why' | 'by'>): void =>
  checkOptions(recordAction, { ...entryOf(move), detail: {} });

/**
 * Redrives or drops the wanted letters of one queue. The audit trail says so before the first
 * letter is touched, and how many there were afterwards; where it cannot be written nothing is
 * done.
 */
export async function move(
  { target, ...deps }: MoveDeps,
  queue: Drained,
  { what, dryRun, reason, max = Number.POSITIVE_INFINITY, look, why, by }: Move,
  wants: (letter: Letter) => boolean,
): Promise<{ readonly moved: Moved; readonly walked: Walked }> {
  const { sqs } = target;
  const note = async (facts: Readonly<Record<string, unknown>>) => {
    if (dryRun) return;
    const detail = { id: queue.id, ...(reason !== undefined && { reason }), ...facts };
    await invoke(target, recordAction, { ...entryOf({ what, why, by }), detail });
  };
  const sentIds = new Set<string>();
  const moved = { done: 0, others: 0, cameBack: 0, failed: 0, onBoth: 0 };

  await note({ phase: 'begun', ...(Number.isFinite(max) && { max }) });
  try {
    const walked = await walk({ ...deps, sqs }, queue.dead, look, async (letters) => {
      const isBack = ({ ids }: Letter) => ids.some((id) => sentIds.has(id));
      const wanted = letters.filter((letter) => wants(letter) && !isBack(letter));
      const chosen = wanted.slice(0, max - moved.done);
      const gone = dryRun ? [] : await settle(chosen);
      const back = letters.filter(isBack).length;
      moved.done += dryRun ? chosen.length : gone.length;
      moved.failed += dryRun ? 0 : chosen.length - gone.length;
      moved.cameBack += back;
      moved.others += letters.length - chosen.length - back;
      return { gone, enough: moved.done >= max };
    });
    return { moved, walked };
  } finally {
    const { onBoth, ...counts } = moved;
    await note({ phase: 'ended', ...counts, ...(onBoth && { onBoth }) });
  }

  /** Deletes only what the live queue has: a crash in between sends twice, and never loses. */
  async function settle(letters: readonly Letter[]): Promise<Letter[]> {
    if (what === 'drop') return await remove(sqs, queue.dead, letters);
    const sent = await send(sqs, queue.live, letters);
    for (const id of sent.values()) sentIds.add(id);
    moved.onBoth += sent.size;
    const gone = await remove(sqs, queue.dead, [...sent.keys()]);
    moved.onBoth -= gone.length;
    return gone;
  }
}
