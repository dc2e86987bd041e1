/** `outbox`: lists, retries and drops rows of the outbox. */
import { userInfo } from 'node:os';
import * as z from 'zod';
import { table } from '../local/progress.ts';
import { type Command, oneWord, printTarget } from './command.ts';
import { checkOptions } from './inputs.ts';
import { invoke } from './invoke.ts';
import { UsageError } from './usage-error.ts';

const OutboxPage = z.object({
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

const ChangeAnswer = z.object({
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
  Lists outbox rows that were refused, are late, or were leased and not sent; 50 rows by default, the earliest due
  first. Personal data is masked.
  --to DESTINATION  rows of one destination: queue:<function id>, event:<name> or invalidate
  --all             also rows that are not due yet, or are held by a kill switch`,
  takes: ['to', 'all', 'max'],
  run: async ({ words, to, all, max }, { target, print }) => {
    if (words.length)
      throw new UsageError(
        '`outbox list` takes no arguments, only the options --to, --all, --max.',
      );
    const input = { ...(to !== undefined && { to }), all, ...(max !== undefined && { max }) };
    checkOptions(listing, input);
    const { rows, more } = OutboxPage.parse(await invoke(target, listing, input));
    if (!rows.length) return print(all ? 'No row matches.' : 'No row is refused or late.');
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
    if (more) print('There are more rows: use --max or --to.');
  },
};

const changeCommand = (verb: 'retry' | 'drop', meaning: string): Command => ({
  usage: `outbox ${verb} <id|all> --why TEXT [--to DESTINATION] [--max N] [--dry-run] [--by NAME]
  ${meaning}
  all               refused rows of the destination that --to names, at most 1,000, the earliest due first
  --to DESTINATION  the destination; only with all, and required there
  --dry-run         counts the rows and changes nothing
  --why TEXT        the reason for the audit trail
  --by NAME         the person for the audit trail; your user name by default`,
  takes: ['why', 'to', 'max', 'dry-run', 'by'],
  run: async (parsed, context) => {
    const { target, print } = context;
    const word = oneWord(parsed, 'row');
    const { to, max, dryRun, why, by = userInfo().username } = parsed;
    if (!why)
      throw new UsageError(`\`outbox ${verb}\` needs --why: the reason for the audit trail.`);
    if (word !== 'all' && !/^[1-9]\d{0,18}$/.test(word))
      throw new UsageError(`${word} is not the id of a row: \`outbox list\` shows the ids.`);
    if ((word === 'all') !== (to !== undefined))
      throw new UsageError(
        `\`outbox ${verb} all\` needs --to DESTINATION; with a row id, leave --to out.`,
      );
    const rows = word === 'all' ? { to } : { id: word };
    const input = { do: verb, ...rows, dryRun, by, why, ...(max !== undefined && { max }) };
    checkOptions(change, input, { id: '<id>' });
    printTarget(context);
    const answer = ChangeAnswer.parse(await invoke(target, change, input));
    if (answer.outcome === 'no-such-row')
      throw new UsageError(`There is no row ${word} in the outbox: it was sent or dropped.`);
    if (answer.outcome === 'held')
      throw new Error(
        `The kill switch ${answer.switch} holds row ${word}: \`switch on ${answer.switch}\` sends it.`,
      );
    if (answer.outcome === 'already-due')
      return print(`Row ${word} is due now or within 30 seconds; it is sent without a retry.`);
    print(`${answer.outcome}: ${answer.rows.toLocaleString('en')} outbox rows`);
    if (answer.mayBeSent)
      print(
        `${answer.mayBeSent} of these rows were being sent at that moment and may still arrive.`,
      );
    if (answer.more) print('There are more refused rows: run the command again.');
  },
});

export const outbox = {
  list,
  retry: changeCommand(
    'retry',
    'Makes rows due now. While other rows are due, refused ones get a tenth of the sends.',
  ),
  drop: changeCommand('drop', 'Deletes rows. Their messages are never sent.'),
};
