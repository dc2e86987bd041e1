import { isUnavailable, textOf } from '../../platform/errors.ts';
import type { Checkpoint } from '../checkpoints.ts';
import { type Source, trial } from './binlog-source.ts';

const takesMax = 5;
const firstTakeMs = 2_000;
const nextTakeMs = 300;

/**
 * Reads a few events after a checkpoint, beside the reader, and returns why that cannot be done:
 * settings of sessions, or of files that were written earlier, show there only. Undefined where
 * these events can be read, or the server is unavailable.
 */
export const unreadableIn =
  (binlog: Source) =>
  async (checkpoint: Checkpoint): Promise<string | undefined> => {
    try {
      await read(binlog, checkpoint);
    } catch (error) {
      if (!isUnavailable(error))
        return `What follows the reader's place cannot be read: ${textOf(error)}`;
    }
    return undefined;
  };

async function read(binlog: Source, checkpoint: Checkpoint): Promise<void> {
  const stream = await binlog.open(await binlog.find(checkpoint), trial);
  try {
    for (let taken = 0; taken < takesMax; taken++) {
      const events = await stream.take(taken ? nextTakeMs : firstTakeMs);
      if (!events.length) return;
    }
  } finally {
    await stream.close();
  }
}
