import * as z from 'zod';
import { mask } from '../lib/platform/mask.ts';
import type { Here } from './command.ts';
import { invoke } from './invoke.ts';
import type { Drained } from './target.ts';
import { timeOf } from './times.ts';
import { holdSeconds, inWords } from './walk.ts';

const Entries = z.object({
  entries: z.array(
    z.object({
      at: z.string(),
      who: z.string(),
      what: z.string(),
      why: z.string().nullable(),
      detail: z.object({ id: z.string(), phase: z.string() }),
    }),
  ),
});

/** A command that began longer ago than this is not named: it has ended, or was killed. */
const lookBackMs = 3_600_000;

/** Says that letters of a queue are in flight for another command: whose, until when, and what to do. */
export async function heldText(here: Here, queue: Drained, held: number): Promise<string> {
  const until = timeOf(new Date(here.now() + holdSeconds * 1000));
  return [
    `${inWords(held)} letters of ${queue.id} are in flight: another command holds them, or was killed while it held them.`,
    `They are visible again at ${until} at the latest.`,
    await holderOf(here, queue),
    'Run it again then, or with --wait now.',
  ].join(' ');
}

/** The audit trail knows who redrives or drops. */
async function holderOf({ target, now }: Here, { id }: Drained): Promise<string> {
  const unknown = '`dead list` and `dead peek` hold letters as well, and note nothing.';
  const since = timeOf(new Date(now() - lookBackMs));
  const asked = { what: 'dead/', about: `"id": "${id}"`, since, max: 100 };
  const answer = await invoke(target, 'platform/list-audit', asked).catch((error) => {
    return error instanceof Error ? error : new Error(String(error));
  });
  if (answer instanceof Error) return `The audit trail cannot say who: ${answer.message}.`;
  const { entries } = Entries.parse(answer);
  const ends = new Map<string, number>();
  for (const { who, what, why, at, detail } of entries) {
    const command = `${who} ${what}`;
    const later = ends.get(command) ?? 0;
    ends.set(command, detail.phase === 'ended' ? later + 1 : later - 1);
    if (detail.phase !== 'ended' && !later)
      return `${who} began ${what} at ${at} (${mask(why ?? '')}), and it has not ended.`;
  }
  return unknown;
}
