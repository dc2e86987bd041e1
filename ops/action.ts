/** Redrives or drops dead letters, and records that in the audit trail. */
import { userInfo } from 'node:os';
import { type Letter, remove, send } from './dead-letters.ts';
import { checkOptions } from './inputs.ts';
import { invoke } from './invoke.ts';
import { type LookDeps, type LookResult, lookThrough } from './look-through.ts';
import type { Drained, Target } from './target.ts';

export interface Move {
  readonly what: 'redrive' | 'drop';
  readonly dryRun: boolean;
  readonly reason: string | undefined;
  /** The most letters that are moved from one queue; all by default. */
  readonly max: number | undefined;
  /** The most letters that are received and left on the queue. */
  readonly look: number;
  readonly why: string | undefined;
  readonly by: string | undefined;
}

export interface MoveResult {
  readonly done: number;
  /** Letters that were received and left on the dead-letter queue. */
  readonly others: number;
  /** Letters that were redriven and came back already: they are not sent a second time. */
  readonly cameBack: number;
  /** Letters that SQS refused to send or to delete. */
  readonly failed: number;
  /** The part of `failed` that was sent but not deleted: these letters are on both queues. */
  readonly onBoth: number;
}

interface MoveDeps extends Omit<LookDeps, 'sqs'> {
  readonly target: Target;
}

const recordAction = 'platform/record-action';

const entryOf = ({ what, why, by }: Pick<Move, 'what' | 'why' | 'by'>) => ({
  by: by ?? userInfo().username,
  what: `dead/${what}`,
  why,
});

/** Throws `UsageError` if the audit trail would refuse the name or the reason. */
export const checkAction = (move: Pick<Move, 'what' | 'why' | 'by'>): void =>
  checkOptions(recordAction, { ...entryOf(move), detail: {} });

/**
 * Redrives or drops the matching letters of one queue. Writes an audit entry before the first letter is moved and
 * another with the counts at the end; if the first cannot be written, no letter is moved.
 */
export async function move(
  { target, ...deps }: MoveDeps,
  queue: Drained,
  { what, dryRun, reason, max = Number.POSITIVE_INFINITY, look, why, by }: Move,
  isWanted: (letter: Letter) => boolean,
): Promise<{ readonly moved: MoveResult; readonly result: LookResult }> {
  const { sqs } = target;
  const recordPhase = async (facts: Readonly<Record<string, unknown>>) => {
    if (dryRun) return;
    const detail = { id: queue.id, ...(reason !== undefined && { reason }), ...facts };
    await invoke(target, recordAction, { ...entryOf({ what, why, by }), detail });
  };
  const sentIds = new Set<string>();
  const moved = { done: 0, others: 0, cameBack: 0, failed: 0, onBoth: 0 };

  await recordPhase({ phase: 'begun', ...(Number.isFinite(max) && { max }) });
  try {
    const result = await lookThrough({ ...deps, sqs }, queue.dead, look, async (letters) => {
      const isBack = ({ ids }: Letter) => ids.some((id) => sentIds.has(id));
      const wanted = letters.filter((letter) => isWanted(letter) && !isBack(letter));
      const chosen = wanted.slice(0, max - moved.done);
      const deleted = dryRun ? [] : await moveLetters(chosen);
      const back = letters.filter(isBack).length;
      moved.done += dryRun ? chosen.length : deleted.length;
      moved.failed += dryRun ? 0 : chosen.length - deleted.length;
      moved.cameBack += back;
      moved.others += letters.length - chosen.length - back;
      return { deleted, enough: moved.done >= max };
    });
    return { moved, result };
  } finally {
    const { onBoth, ...counts } = moved;
    await recordPhase({ phase: 'ended', ...counts, ...(onBoth && { onBoth }) });
  }

  /** Sends before it deletes: after a crash in between a letter is sent twice, but never lost. */
  async function moveLetters(letters: readonly Letter[]): Promise<Letter[]> {
    if (what === 'drop') return await remove(sqs, queue.dead, letters);
    const sent = await send(sqs, queue.live, letters);
    for (const id of sent.values()) sentIds.add(id);
    moved.onBoth += sent.size;
    const deleted = await remove(sqs, queue.dead, [...sent.keys()]);
    moved.onBoth -= deleted.length;
    return deleted;
  }
}
