/** Reads a few events next to the reader, to find out whether they can be read. */
import { isUnavailable, textOf } from '../../platform/errors.ts';
import type { Checkpoint } from '../checkpoints.ts';
import { binlogOf, type Source, trial } from './binlog-source.ts';

const takesMax = 5;
const firstTakeMs = 2_000;
const nextTakeMs = 300;

/**
 * Reads a few events after a checkpoint and returns why they cannot be read. This finds settings of
 * sessions and of older files, which the server's variables do not show. Returns undefined if the
 * events can be read, or the server is unavailable.
 */
export const unreadableIn =
  (binlog: Source) =>
  async (checkpoint: Checkpoint): Promise<string | undefined> => {
    try {
      await read(binlog, checkpoint);
    } catch (error) {
      if (!isUnavailable(error))
        return `The events after the reader's checkpoint cannot be read: ${textOf(error)}`;
    }
    return undefined;
  };

async function read(binlog: Source, checkpoint: Checkpoint): Promise<void> {
  const stream = await binlog.open(await binlog.find(checkpoint), trial);
  try {
    for (let count = 0; count < takesMax; count++) {
      const events = await stream.take(count ? nextTakeMs : firstTakeMs);
      if (!events.length) return;
    }
  } finally {
    await stream.close();
  }
}

/** The same for a source that is made of these. */
export const trialReadOf = (given: Parameters<typeof binlogOf>[0]) => unreadableIn(binlogOf(given));
