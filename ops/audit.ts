/** `audit`: lists entries of the audit trail. */
import * as z from 'zod';
import { table } from '../local/progress.ts';
import type { Command } from './command.ts';
import { checkOptions } from './inputs.ts';
import { invoke } from './invoke.ts';
import { UsageError } from './usage-error.ts';

const id = 'platform/list-audit';

const AuditPage = z.object({
  entries: z.array(
    z.object({
      id: z.string(),
      at: z.string(),
      who: z.string(),
      what: z.string(),
      why: z.string().nullable(),
      detail: z.unknown(),
    }),
  ),
  before: z.string().optional(),
});

export const audit: Command = {
  usage: `audit [--since TIME] [--until TIME] [--by NAME] [--what TEXT] [--about TEXT] [--max N] [--before N]
  Lists manual actions with person, time and reason, newest first; 50 entries by default.
  --since, --until TIME  entries at or after, at or before this time, for example '2026-11-21 08:00:00', in Shanghai time
  --by NAME              entries of this person
  --what TEXT            entries whose action begins with TEXT, for example switch/ or dead/redrive
  --about TEXT           entries whose reason or detail contains TEXT
  --before N             the next page: entries with a smaller id, as the last line of a page says`,
  takes: ['since', 'until', 'by', 'what', 'about', 'max', 'before'],
  run: async ({ words, since, until, by, what, about, max, before }, { target, print }) => {
    if (words.length)
      throw new UsageError(
        '`audit` takes no arguments, only options such as --by, --what, --about.',
      );
    const given = { since, until, by, what, about, max, before };
    const input = Object.fromEntries(
      Object.entries(given).filter(([, value]) => value !== undefined),
    );
    checkOptions(id, input);
    const { entries, before: next } = AuditPage.parse(await invoke(target, id, input));
    if (!entries.length) return print('No audit entry matches.');
    const rows = entries.map((entry) => [
      entry.at,
      entry.who,
      entry.what,
      entry.why ?? '–',
      entry.detail === null ? '–' : JSON.stringify(entry.detail),
    ]);
    print(table(['time', 'who', 'what', 'why', 'detail'], rows));
    if (next) print(`There are older entries: --before ${next}`);
  },
};
