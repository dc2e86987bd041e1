import { userInfo } from 'node:os';
import * as z from 'zod';
import { table } from '../local/progress.ts';
import { type Command, oneWord, sayTarget } from './command.ts';
import { checkOptions } from './inputs.ts';
import { invoke } from './invoke.ts';
import { UsageError } from './usage-error.ts';

const Listed = z.object({
  rows: z.array(
    z.object({
      id: z.string(),
      destination: z.string(),
      state: z.string(),
      due: z.string(),
      attempts: z.number(),
      reason: z.string().nullable(),
      switch: z.string().nullable(),
      body: z.string(),
    }),
  ),
  more: z.boolean(),
});

const Changed = z.object({
  outcome: z.string(),
  rows: z.number(),
  more: z.boolean().optional(),
  switch: z.string().optional(),
  mayBeSent: z.number().optional(),
});

const listing = 'platform/list-outbox';
const change = 'platform/change-outbox';

const list: Command = {
  usage: `outbox list [--to DESTINATION] [--all] [--max N]
  What should follow a commit and cannot be sent (refused), is late, or was taken and not sent, 50 rows unless --max
  says otherwise, the earliest due first; personal data masked.
  --to DESTINATION  rows of one destination: queue:<function id>, event:<name> or invalidate
  --all             also rows that wait for their time, or under a kill switch (held)`,
  takes: ['to', 'all', 'max'],
  run: async ({ words, to, all, max }, { target, print }) => {
    if (words.length) throw new UsageError('outbox list takes options only: --to, --all, --max.');
    const input = { ...(to !== undefined && { to }), all, ...(max !== undefined && { max }) };
    checkOptions(listing, input);
    const { rows, more } = Listed.parse(await invoke(target, listing, input));
    if (!rows.length)
      return print(all ? 'No such row.' : 'No such row: all is sent, or waits for its time.');
    print(
      table(
        ['id', 'destination', 'state', 'due', 'attempts', 'reason', 'body'],
        rows.map((row) => [
          row.id,
          row.destination,
          row.switch === null ? row.state : `${row.state} by ${row.switch}`,
          row.due,
          row.attempts,
          row.reason ?? '–',
          row.body,
        ]),
      ),
    );
    if (more) print('There are more: --max and --to choose.');
  },
};

const changing = (verb: 'retry' | 'drop', meaning: string): Command => ({
  usage: `outbox ${verb} <id|all> --why TEXT [--to DESTINATION] [--max N] [--dry-run] [--by NAME]
  ${meaning}
  all               those of the destination that --to names which were refused, 1,000 at most, the earliest due first
  --to DESTINATION  needed for all, and for nothing else
  --dry-run         says how many rows it would be, and changes nothing
  --why TEXT        what the audit trail says
  --by NAME         who; your user name without it`,
  takes: ['why', 'to', 'max', 'dry-run', 'by'],
  run: async (said, here) => {
    const { target, print } = here;
    const word = oneWord(said, 'row');
    const { to, max, dryRun, why, by = userInfo().username } = said;
    if (!why) throw new UsageError(`outbox ${verb} needs --why, for the audit trail.`);
    if (word !== 'all' && !/^[1-9]\d{0,18}$/.test(word))
      throw new UsageError(`${word} is no id of a row: \`outbox list\` shows them.`);
    if ((word === 'all') !== (to !== undefined))
      throw new UsageError(`outbox ${verb} all needs --to DESTINATION, and a single row does not.`);
    const rows = word === 'all' ? { to } : { id: word };
    const input = { do: verb, ...rows, dryRun, by, why, ...(max !== undefined && { max }) };
    checkOptions(change, input, { id: '<id>' });
    sayTarget(here);
    const answer = Changed.parse(await invoke(target, change, input));
    if (answer.outcome === 'no such row')
      throw new UsageError(
        `There is no row ${word} in the outbox: it was sent or dropped meanwhile.`,
      );
    if (answer.outcome === 'held')
      throw new Error(
        `Row ${word} waits under the kill switch ${answer.switch}: \`switch on ${answer.switch}\` lets it go.`,
      );
    if (answer.outcome === 'due already')
      return print(
        `Row ${word} is due, or will be within 30 seconds: it is being sent, or is sent without a retry.`,
      );
    print(`${answer.outcome}: ${answer.rows.toLocaleString('en')} of the outbox`);
    if (answer.mayBeSent)
      print(
        `${answer.mayBeSent} of them were being sent at that moment: they may arrive all the same.`,
      );
    if (answer.more) print('More of them were refused: run it again.');
  },
});

export const outbox = {
  list,
  retry: changing(
    'retry',
    'Makes rows due now, whatever their pause; while other rows wait, refused ones get a tenth of what is sent.',
  ),
  drop: changing('drop', 'Deletes rows for good: what should follow a commit does not follow it.'),
};
