/** Explains which other command has letters of a queue in flight. */
import * as z from 'zod';
import { mask } from '../lib/platform/lambda/mask.ts';
import type { CommandContext } from './command.ts';
import { invoke } from './invoke.ts';
import { formatCount, hiddenSecondsMax } from './look-through.ts';
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

/** The detail that a redrive or a drop records; entries of other actions can have any detail. */
const Detail = z.object({ id: z.string(), phase: z.enum(['begun', 'ended']) });

/** Commands that began longer ago are not named: they have ended or were killed. */
const lookBackMs = 3_600_000;

/** Explains that letters of a queue are in flight for another command: for whose, until when, and what to do. */
export async function inFlightMessage(
  context: CommandContext,
  queue: Drained,
  inFlight: number,
): Promise<string> {
  const until = timeOf(new Date(context.now() + hiddenSecondsMax * 1000));
  return [
    `${formatCount(inFlight)} letters of ${queue.id} are in flight: another command has received them, and may have been killed since.`,
    `They are visible again at ${until} at the latest.`,
    await describeHolder(context, queue),
    'Run the command again then, or now with --wait.',
  ].join(' ');
}

/**
 * Names the last redrive or drop in the audit trail that has not ended. An unfinished command is skipped if the same
 * command of the same person has ended on this queue since: it was killed, and its letters are visible again.
 */
async function describeHolder(context: CommandContext, queue: Drained): Promise<string> {
  const entries = await recentEntries(context, queue).catch((error) =>
    error instanceof Error ? error : new Error(String(error)),
  );
  if (entries instanceof Error)
    return `The audit trail could not be read to find out whose: ${entries.message}.`;
  const ended = new Set<string>();
  for (const { who, what, why, at, detail } of entries) {
    const parsed = Detail.safeParse(detail);
    if (!parsed.success || parsed.data.id !== queue.id) continue;
    const command = `${who} ${what}`;
    if (parsed.data.phase === 'ended') ended.add(command);
    else if (!ended.has(command))
      return `${who} began ${what} at ${at} (${mask(why ?? '')}), which has not ended.`;
  }
  return 'No redrive or drop is running; `dead list` and `dead peek` receive letters too, and leave no audit entry.';
}

/** Returns the audit entries of the last hour about a queue, newest first. */
async function recentEntries({ target, now }: CommandContext, { id }: Drained) {
  const since = timeOf(new Date(now() - lookBackMs));
  const input = { what: 'dead/', about: `"id": "${id}"`, since, max: 100 };
  return Entries.parse(await invoke(target, 'platform/list-audit', input)).entries;
}
