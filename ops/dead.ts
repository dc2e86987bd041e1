import { mask, maskedValue } from '../lib/platform/mask.ts';
import { table } from '../local/progress.ts';
import { type Move, type Moved, move } from './action.ts';
import { type Command, type Here, oneWord, type Said } from './command.ts';
import { type Letter, sizeOf, walk } from './letters.ts';
import { Mistake } from './mistake.ts';
import { type Drained, queueOf } from './target.ts';

/** Letters that `peek` shows unless --max says otherwise. */
const shownMax = 10;
/** Letters of one queue whose reasons `list` counts unless --max says otherwise. */
const countedMax = 1000;
/** Reasons of one queue that `list` names; the rest is a sum. */
const reasonsMax = 5;

const list: Command = {
  usage: `dead list [--max N]
  How many letters lie on which dead-letter queue, and why; reasons are counted over at most ${countedMax} of each.`,
  takes: ['max'],
  run: async ({ words, max = countedMax }, { target, print, signal, longPollSeconds }) => {
    if (words.length) throw new Mistake('dead list shows all queues.');
    const rows: (string | number)[][] = [];
    for (const { id, dead } of target.queues) {
      const { visible, inFlight } = await sizeOf(target.sqs, dead);
      if (!visible && !inFlight) continue;
      const letters: Letter[] = [];
      await walk({ sqs: target.sqs, signal, longPollSeconds }, dead, async (fresh) => {
        letters.push(...fresh);
        return { gone: [], enough: letters.length >= max };
      });
      rows.push([id, visible + inFlight, '', '', '']);
      rows.push(...reasonsOf(letters).map((row) => ['', '', ...row]));
    }
    print(
      rows.length
        ? table(['queue', 'letters', 'of these', 'oldest', 'reason'], rows)
        : `All ${target.queues.length} dead-letter queues are empty.`,
    );
  },
};

function reasonsOf(letters: readonly Letter[]): (string | number)[][] {
  const byReason = Map.groupBy(letters, ({ reason }) => mask(reason));
  const groups = [...byReason].toSorted(([, a], [, b]) => b.length - a.length);
  const others = groups.slice(reasonsMax).flatMap(([, group]) => group);
  if (others.length)
    groups.splice(reasonsMax, groups.length, [
      `${groups.length - reasonsMax} other reasons`,
      others,
    ]);
  return groups.map(([reason, group]) => [group.length, timeOf(oldestOf(group)), reason]);
}

const oldestOf = (letters: readonly Letter[]): Date =>
  new Date(Math.min(...letters.map(({ sentAt }) => sentAt.getTime())));

/** Shanghai's wall time, as everywhere in the product. */
const timeOf = (date: Date): string => date.toLocaleString('sv', { timeZone: 'Asia/Shanghai' });

const matches = ({ reason }: Letter, wanted: string | undefined): boolean =>
  wanted === undefined || reason.toLowerCase().includes(wanted.toLowerCase());

const peek: Command = {
  usage: `dead peek <id> [--reason TEXT] [--max N] [--full]
  Shows letters, ${shownMax} unless --max says otherwise, and puts them back. Personal data is masked but with --full.`,
  takes: ['reason', 'max', 'full'],
  run: async (said, { target, print, signal, longPollSeconds }) => {
    const { dead } = queueOf(target, oneWord(said, 'queue'));
    const { reason, max = shownMax, full } = said;
    const shown: Letter[] = [];
    await walk({ sqs: target.sqs, signal, longPollSeconds }, dead, async (letters) => {
      shown.push(...letters.filter((letter) => matches(letter, reason)));
      return { gone: [], enough: shown.length >= max };
    });
    for (const letter of shown.slice(0, max)) {
      print(`${timeOf(letter.sentAt)}  ${letter.messageId}`);
      print(`  reason  ${full ? letter.reason : mask(letter.reason)}`);
      print(`  body    ${full ? letter.body : maskedBody(letter.body)}`);
    }
    if (!shown.length) print('No such letter.');
  },
};

function maskedBody(body: string): string {
  try {
    return JSON.stringify(JSON.parse(body), maskedValue);
  } catch {
    return mask(body); // It may lie there because it is no JSON.
  }
}

const choice = `  --reason TEXT  only letters whose reason contains TEXT, in upper or lower case
  --max N        at most N letters of a queue
  --dry-run      counts them and changes nothing
  --why TEXT     what the audit trail says; required but for a dry run
  --by NAME      who; your user name without it`;

const redrive: Command = {
  usage: `dead redrive <id|all> --why TEXT [--reason TEXT] [--max N] [--dry-run] [--by NAME]
  Sends letters to the queue that they came from. Safe at any time, twice too: the row decides, not the message.
${choice}`,
  takes: ['reason', 'max', 'dry-run', 'why', 'by'],
  run: async (said, here) => {
    const word = oneWord(said, 'queue');
    const queues = word === 'all' ? here.target.queues : [queueOf(here.target, word)];
    await moveAll('redrive', queues, said, here);
  },
};

const drop: Command = {
  usage: `dead drop <id> --why TEXT [--reason TEXT] [--max N] [--dry-run] [--by NAME]
  Deletes letters for good.
${choice}`,
  takes: ['reason', 'max', 'dry-run', 'why', 'by'],
  run: async (said, here) => {
    const queue = queueOf(here.target, oneWord(said, 'queue'));
    await moveAll('drop', [queue], said, here);
  },
};

async function moveAll(
  what: Move['what'],
  queues: readonly Drained[],
  { reason, max, dryRun, why, by }: Said,
  here: Here,
): Promise<void> {
  const { target, print, signal } = here;
  if (!dryRun && !why) throw new Mistake(`dead ${what} needs --why, for the audit trail.`);
  const wants = (letter: Letter) => matches(letter, reason);
  const rows: [id: string, moved: Moved][] = [];
  for (const queue of queues) {
    if (signal.aborted) break;
    const { visible } = await sizeOf(target.sqs, queue.dead);
    if (!visible && queues.length > 1) continue;
    const wish = { what, reason, max, dryRun, why, by };
    rows.push([queue.id, await move(here, queue, wish, wants)]);
  }
  const done = { redrive: 'redriven', drop: 'dropped' }[what];
  print(
    table(
      ['queue', dryRun ? `would be ${done}` : done, 'others', 'came back', 'failed'],
      rows.map(([id, { done, others, cameBack, failed }]) => [id, done, others, cameBack, failed]),
    ),
  );
  if (signal.aborted) throw new Error('Ended before all letters were looked at.');
  const failed = rows.reduce((sum, [, moved]) => sum + moved.failed, 0);
  if (failed) throw new Error(`SQS refused ${failed} of them; they lie where they lay.`);
}

export const dead = { list, peek, redrive, drop };
