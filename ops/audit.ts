import * as z from 'zod';
import { table } from '../local/progress.ts';
import type { Command } from './command.ts';
import { checkOptions } from './inputs.ts';
import { invoke } from './invoke.ts';
import { UsageError } from './usage-error.ts';

const id = 'platform/list-audit';

const Listed = z.object({
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
  Who did what by hand, when and why, newest first, 50 entries unless --max says otherwise.
  --since, --until TIME  at or after, at or before: '2026-11-21 08:00:00' in Shanghai
  --by NAME              of that person
  --what TEXT            whose action begins so: switch/, dead/redrive
  --about TEXT           in whose reason or detail this text is
  --before N             the next page, as the one before says`,
  takes: ['since', 'until', 'by', 'what', 'about', 'max', 'before'],
  run: async ({ words, since, until, by, what, about, max, before }, { target, print }) => {
    if (words.length) throw new UsageError('audit takes options only: --by, --what, --about.');
    const given = { since, until, by, what, about, max, before };
    const input = Object.fromEntries(
      Object.entries(given).filter(([, value]) => value !== undefined),
    );
    checkOptions(id, input);
    const { entries, before: next } = Listed.parse(await invoke(target, id, input));
    if (!entries.length) return print('No such entry.');
    const rows = entries.map((entry) => [
      entry.at,
      entry.who,
      entry.what,
      entry.why ?? '–',
      entry.detail === null ? '–' : JSON.stringify(entry.detail),
    ]);
    print(table(['time', 'who', 'what', 'why', 'detail'], rows));
    if (next) print(`There are older ones: --before ${next}`);
  },
};
