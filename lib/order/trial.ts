import { isAway, textOf } from '../platform/errors.ts';
import type { Checkpoint } from './checkpoints.ts';
import { type Source, trial } from './source.ts';

const takesMax = 5;
const firstTakeMs = 2_000;
const nextTakeMs = 300;

/**
 * Reads a few events after the checkpoint, beside the reader, and returns why that cannot be done:
 * settings of sessions, or of files that were written earlier, show there only. Undefined where
 * these events can be read, or the server is unavailable.
 */
export async function unreadable(
  binlog: Source,
  checkpoint: Checkpoint,
): Promise<string | undefined> {
  try {
    const stream = await binlog.open(await binlog.find(checkpoint), trial);
    try {
      for (let taken = 0; taken < takesMax; taken++) {
        const events = await stream.take(taken ? nextTakeMs : firstTakeMs);
        if (!events.length) return undefined;
      }
    } finally {
      await stream.close();
    }
  } catch (error) {
    if (!isAway(error)) return `What follows the reader's place cannot be read: ${textOf(error)}`;
  }
  return undefined;
}
