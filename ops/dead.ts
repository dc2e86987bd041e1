import { mask, maskedValue } from '../lib/platform/lambda/mask.ts';
import { table } from '../local/progress.ts';
import { checkAction, type Move, type Moved, move } from './action.ts';
import {
  type Command,
  type CommandContext,
  oneWord,
  type ParsedArgs,
  sayTarget,
} from './command.ts';
import { type Letter, sizeOf } from './dead-letters.ts';
import { heldText } from './holders.ts';
import {
  inWords,
  lookLimit,
  lookMax,
  lookSeconds,
  type Walked,
  waitUntilFree,
  walk,
} from './look-through.ts';
import { type Drained, queueOf } from './target.ts';
import { timeOf } from './times.ts';
import { UsageError } from './usage-error.ts';

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
  run: async ({ words, max = countedMax }, here) => {
    if (words.length) throw new UsageError('dead list shows all queues.');
    const { target, print } = here;
    const rows: (string | number)[][] = [];
    const inFlightOf: string[] = [];
    for (const { id, dead } of target.queues) {
      const { visible, inFlight } = await sizeOf(target.sqs, dead);
      if (!visible && !inFlight) continue;
      const letters: Letter[] = [];
      const { held } = await walk({ ...here, sqs: target.sqs }, dead, max, async (fresh) => {
        letters.push(...fresh);
        return { gone: [] };
      });
      if (held)
        inFlightOf.push(
          `${id}: ${inWords(held)} of these are in flight, and not counted by reason.`,
        );
      rows.push([id, visible + inFlight, '', '', '']);
      rows.push(...reasonsOf(letters).map((row) => ['', '', ...row]));
    }
    print(
      rows.length
        ? table(['queue', 'letters', 'of these', 'oldest', 'reason'], rows)
        : `All ${target.queues.length} dead-letter queues are empty.`,
    );
    for (const text of inFlightOf) print(text);
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

const matches = ({ reason }: Letter, wanted: string | undefined): boolean =>
  wanted === undefined || reason.toLowerCase().includes(wanted.toLowerCase());

const lookHelp = `  --look N       looks at N letters at most that it leaves, ${inWords(lookMax)} without it; and for ${lookSeconds} s
  --wait         waits until no other command has letters of the queue in flight`;

function lookOf({ look = lookMax }: ParsedArgs): number {
  if (look <= lookLimit) return look;
  throw new UsageError(`--look ${look}: ${lookLimit} at most, for SQS hides only so many.`);
}

const endedEarly = 'Ended before all letters were looked at.';

const peek: Command = {
  usage: `dead peek <id> [--reason TEXT] [--max N] [--full] [--look N] [--wait]
  Shows letters, ${shownMax} unless --max says otherwise, and puts them back. Personal data is masked but with --full.
${lookHelp}`,
  takes: ['reason', 'max', 'full', 'look', 'wait'],
  run: async (said, here) => {
    const { target, print } = here;
    const queue = queueOf(target, oneWord(said, 'queue'));
    const { reason, max = shownMax, full, wait } = said;
    const shown: Letter[] = [];
    const deps = { ...here, sqs: target.sqs };
    const look = lookOf(said);
    if (wait) await waitUntilFree(deps, queue.dead);
    const walked = await walk(deps, queue.dead, look, async (letters) => {
      shown.push(...letters.filter((letter) => matches(letter, reason)));
      return { gone: [], enough: shown.length >= max };
    });
    for (const letter of shown.slice(0, max)) {
      print(`${timeOf(letter.sentAt)}  ${letter.messageId}`);
      print(`  reason  ${full ? letter.reason : mask(letter.reason)}`);
      print(`  body    ${full ? letter.body : maskedBody(letter.body)}`);
    }
    if (walked.end === 'aborted') throw new Error(endedEarly);
    if (walked.held) throw new Error(await heldText(here, queue, walked.held));
    const limit = limitText(walked);
    if (!shown.length) print(limit ? `No such letter. ${limit}` : 'No such letter.');
    else if (limit) print(limit);
  },
};

/** What ended a walk before all letters were looked at, and what to do; nothing where none did. No walk marks its place. */
function limitText({ end, looked, of }: Walked): string | undefined {
  const part = `Looked at ${inWords(looked)} of about ${inWords(of)} letters`;
  if (end === 'letters')
    return looked < lookLimit
      ? `${part}, the limit: --look ${Math.min(Math.max(of, looked * 2), lookLimit)} looks at more.`
      : `${part}, more than which SQS does not hide: redrive or drop some of these first.`;
  if (end === 'seconds')
    return `${part} in ${lookSeconds} s, after which others see them again. Run it again: it starts from the beginning, and SQS may give others first.`;
  return undefined;
}

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
  --by NAME      who; your user name without it
${lookHelp}`;

const redrive: Command = {
  usage: `dead redrive <id|all> --why TEXT [--reason TEXT] [--max N] [--dry-run] [--by NAME] [--look N] [--wait]
  Sends letters to the queue that they came from. Safe at any time, twice too: the row decides, not the message.
${choice}`,
  takes: ['reason', 'max', 'dry-run', 'why', 'by', 'look', 'wait'],
  run: async (said, here) => {
    const word = oneWord(said, 'queue');
    const queues = word === 'all' ? here.target.queues : [queueOf(here.target, word)];
    await moveAll('redrive', queues, said, here);
  },
};

const drop: Command = {
  usage: `dead drop <id> --why TEXT [--reason TEXT] [--max N] [--dry-run] [--by NAME] [--look N] [--wait]
  Deletes letters for good.
${choice}`,
  takes: ['reason', 'max', 'dry-run', 'why', 'by', 'look', 'wait'],
  run: async (said, here) => {
    const queue = queueOf(here.target, oneWord(said, 'queue'));
    await moveAll('drop', [queue], said, here);
  },
};

async function moveAll(
  what: Move['what'],
  queues: readonly Drained[],
  said: ParsedArgs,
  here: CommandContext,
): Promise<void> {
  const { reason, max, dryRun, why, by, wait } = said;
  const { target, print, signal } = here;
  if (!dryRun && !why) throw new UsageError(`dead ${what} needs --why, for the audit trail.`);
  if (!dryRun) checkAction({ what, why, by });
  const wish = { what, reason, max, dryRun, look: lookOf(said), why, by };
  const wants = (letter: Letter) => matches(letter, reason);
  const rows: [id: string, moved: Moved][] = [];
  const undone: string[] = [];
  sayTarget(here);
  for (const queue of queues) {
    if (signal.aborted) break;
    if (wait) await waitUntilFree({ ...here, sqs: target.sqs }, queue.dead);
    const { visible, inFlight } = await sizeOf(target.sqs, queue.dead);
    if (!visible && inFlight) undone.push(await heldText(here, queue, inFlight));
    if (!visible && (inFlight || queues.length > 1)) continue;
    const { moved, walked } = await move(here, queue, wish, wants);
    rows.push([queue.id, moved]);
    if (walked.held) undone.push(await heldText(here, queue, walked.held));
    const limit = limitText(walked);
    if (limit) undone.push(`${queue.id}: ${limit}`);
  }
  const done = { redrive: 'redriven', drop: 'dropped' }[what];
  if (rows.length || !undone.length)
    print(
      table(
        ['queue', dryRun ? `would be ${done}` : done, 'others', 'came back', 'failed'],
        rows.map(([id, { done, others, cameBack, failed }]) => [
          id,
          done,
          others,
          cameBack,
          failed,
        ]),
      ),
    );
  if (signal.aborted) throw new Error(endedEarly);
  const both = rows.reduce((sum, [, moved]) => sum + moved.onBoth, 0);
  const failed = rows.reduce((sum, [, moved]) => sum + moved.failed, 0) - both;
  if (failed) undone.push(`SQS refused ${failed} of them; they lie where they lay.`);
  if (both)
    undone.push(
      `${both} of them were sent, but SQS refused to delete them: they are on both queues. Redrive them again, or drop them.`,
    );
  if (undone.length) throw new Error(undone.join('\n'));
}

export const dead = { list, peek, redrive, drop };
