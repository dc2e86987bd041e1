import * as z from 'zod';
import { mask } from '../lib/platform/lambda/mask.ts';
import type { CommandContext } from './command.ts';
import { invoke } from './invoke.ts';
import { holdSeconds, inWords } from './look-through.ts';
import type { Drained } from './target.ts';
import { timeOf } from './times.ts';

const Entries = z.object({
  entries: z.array(
    z.object({
      at: z.string(),
      who: z.string(),
      what: z.string(),
      why: z.string().nullable(),
      detail: z.unknown(),
    }),
  ),
});

/** What a redrive or a drop notes; a person may have noted anything else about a queue. */
const Detail = z.object({ id: z.string(), phase: z.enum(['begun', 'ended']) });

/** A command that began longer ago than this is not named: it has ended, or was killed. */
const lookBackMs = 3_600_000;

/** Says that letters of a queue are in flight for another command: whose, until when, and what to do. */
export async function heldText(
  here: CommandContext,
  queue: Drained,
  held: number,
): Promise<string> {
  const until = timeOf(new Date(here.now() + holdSeconds * 1000));
  return [
    `${inWords(held)} letters of ${queue.id} are in flight: another command holds them, or was killed while it held them.`,
    `They are visible again at ${until} at the latest.`,
    await holderOf(here, queue),
    'Run it again then, or with --wait now.',
  ].join(' ');
}

/**
 * The audit trail knows who redrives or drops. A command that has not ended is not named when the same command of the
 * same person has ended on that queue since: it was killed, and what it held is visible.
 */
async function holderOf(here: CommandContext, queue: Drained): Promise<string> {
  const entries = await entriesOf(here, queue).catch((error) =>
    error instanceof Error ? error : new Error(String(error)),
  );
  if (entries instanceof Error) return `The audit trail cannot say who: ${entries.message}.`;
  const ended = new Set<string>();
  for (const { who, what, why, at, detail } of entries) {
    const noted = Detail.safeParse(detail);
    if (!noted.success || noted.data.id !== queue.id) continue;
    const command = `${who} ${what}`;
    if (noted.data.phase === 'ended') ended.add(command);
    else if (!ended.has(command))
      return `${who} began ${what} at ${at} (${mask(why ?? '')}), and it has not ended.`;
  }
  return '`dead list` and `dead peek` hold letters as well, and note nothing.';
}

/** The newest first. */
async function entriesOf({ target, now }: CommandContext, { id }: Drained) {
  const since = timeOf(new Date(now() - lookBackMs));
  const asked = { what: 'dead/', about: `"id": "${id}"`, since, max: 100 };
  return Entries.parse(await invoke(target, 'platform/list-audit', asked)).entries;
}
