/** `dead`: lists, shows, redrives and drops dead letters. */
import { mask, maskedValue } from '../lib/platform/lambda/mask.ts';
import { table } from '../local/progress.ts';
import { checkAction, type Move, type MoveResult, move } from './action.ts';
import {
  type Command,
  type CommandContext,
  oneWord,
  type ParsedArgs,
  printTarget,
} from './command.ts';
import { type Letter, sizeOf } from './dead-letters.ts';
import { inFlightMessage } from './holders.ts';
import {
  formatCount,
  type LookResult,
  lookLimit,
  lookMax,
  lookSeconds,
  lookThrough,
  waitUntilNoneInFlight,
} from './look-through.ts';
import { type Drained, queueOf } from './target.ts';
import { timeOf } from './times.ts';
import { UsageError } from './usage-error.ts';

/** Letters that `peek` shows by default. */
const peekMax = 10;
/** Letters of one queue whose reasons `list` counts by default. */
const reasonSampleMax = 1000;
/** Reasons of one queue that `list` shows; all others are added up in one line. */
const reasonsMax = 5;

const list: Command = {
  usage: `dead list [--max N]
  Counts the letters of each dead-letter queue, by reason; reasons are counted for at most ${reasonSampleMax} letters of a queue.`,
  takes: ['max'],
  run: async ({ words, max = reasonSampleMax }, context) => {
    if (words.length) throw new UsageError('`dead list` takes no arguments: it lists all queues.');
    const { target, print } = context;
    const rows: (string | number)[][] = [];
    const inFlightLines: string[] = [];
    for (const { id, dead } of target.queues) {
      const { visible, inFlight } = await sizeOf(target.sqs, dead);
      if (!visible && !inFlight) continue;
      const letters: Letter[] = [];
      const { inFlightElsewhere } = await lookThrough(
        { ...context, sqs: target.sqs },
        dead,
        max,
        async (fresh) => {
          letters.push(...fresh);
          return { deleted: [] };
        },
      );
      if (inFlightElsewhere)
        inFlightLines.push(
          `${id}: ${formatCount(inFlightElsewhere)} of these letters are in flight and not counted by reason.`,
        );
      rows.push([id, visible + inFlight, '', '', '']);
      rows.push(...reasonsOf(letters).map((row) => ['', '', ...row]));
    }
    print(
      rows.length
        ? table(['queue', 'letters', 'of these', 'oldest', 'reason'], rows)
        : `All ${target.queues.length} dead-letter queues are empty.`,
    );
    for (const text of inFlightLines) print(text);
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

const lookHelp = `  --look N       receives at most N letters that it leaves on the queue, ${formatCount(lookMax)} by default; stops after ${lookSeconds} s
  --wait         waits until no letter of the queue is in flight for another command`;

function lookOf({ look = lookMax }: ParsedArgs): number {
  if (look <= lookLimit) return look;
  throw new UsageError(
    `--look ${look}: at most ${lookLimit}, because SQS limits the messages in flight.`,
  );
}

const interrupted = 'Interrupted before all letters were received.';

const peek: Command = {
  usage: `dead peek <id> [--reason TEXT] [--max N] [--full] [--look N] [--wait]
  Shows letters, ${peekMax} by default, and puts them back. Masks personal data unless --full is given.
${lookHelp}`,
  takes: ['reason', 'max', 'full', 'look', 'wait'],
  run: async (parsed, context) => {
    const { target, print } = context;
    const queue = queueOf(target, oneWord(parsed, 'queue'));
    const { reason, max = peekMax, full, wait } = parsed;
    const shown: Letter[] = [];
    const deps = { ...context, sqs: target.sqs };
    const look = lookOf(parsed);
    if (wait) await waitUntilNoneInFlight(deps, queue.dead);
    const result = await lookThrough(deps, queue.dead, look, async (letters) => {
      shown.push(...letters.filter((letter) => matches(letter, reason)));
      return { deleted: [], enough: shown.length >= max };
    });
    for (const letter of shown.slice(0, max)) {
      print(`${timeOf(letter.sentAt)}  ${letter.messageId}`);
      print(`  reason  ${full ? letter.reason : mask(letter.reason)}`);
      print(`  body    ${full ? letter.body : maskedBody(letter.body)}`);
    }
    if (result.end === 'aborted') throw new Error(interrupted);
    if (result.inFlightElsewhere)
      throw new Error(await inFlightMessage(context, queue, result.inFlightElsewhere));
    const limit = limitText(result);
    if (!shown.length) print(limit ? `No letter matches. ${limit}` : 'No letter matches.');
    else if (limit) print(limit);
  },
};

/**
 * Explains which limit ended a command before it received all letters, and what to do; undefined if none did. No position
 * is kept between two commands.
 */
function limitText({ end, looked, of }: LookResult): string | undefined {
  const part = `Received ${formatCount(looked)} of about ${formatCount(of)} letters`;
  if (end === 'letters')
    return looked < lookLimit
      ? `${part}, the limit. Use --look ${Math.min(Math.max(of, looked * 2), lookLimit)} to receive more.`
      : `${part}, the most that may be in flight. Redrive or drop some of them first.`;
  if (end === 'seconds')
    return `${part} in ${lookSeconds} s, the limit. Run the command again: it starts over, and SQS may return other letters first.`;
  return undefined;
}

function maskedBody(body: string): string {
  try {
    return JSON.stringify(JSON.parse(body), maskedValue);
  } catch {
    return mask(body); // The message may be a dead letter because it is not JSON.
  }
}

const choice = `  --reason TEXT  only letters whose reason contains TEXT; case is ignored
  --max N        at most N letters of each queue
  --dry-run      counts the letters and changes nothing
  --why TEXT     the reason for the audit trail; required unless --dry-run is given
  --by NAME      the person for the audit trail; your user name by default
${lookHelp}`;

const redrive: Command = {
  usage: `dead redrive <id|all> --why TEXT [--reason TEXT] [--max N] [--dry-run] [--by NAME] [--look N] [--wait]
  Sends letters back to the queue that they came from. Safe at any time and repeatedly: every function is idempotent.
${choice}`,
  takes: ['reason', 'max', 'dry-run', 'why', 'by', 'look', 'wait'],
  run: async (parsed, context) => {
    const word = oneWord(parsed, 'queue');
    const queues = word === 'all' ? context.target.queues : [queueOf(context.target, word)];
    await moveAll('redrive', queues, parsed, context);
  },
};

const drop: Command = {
  usage: `dead drop <id> --why TEXT [--reason TEXT] [--max N] [--dry-run] [--by NAME] [--look N] [--wait]
  Deletes letters. They cannot be restored.
${choice}`,
  takes: ['reason', 'max', 'dry-run', 'why', 'by', 'look', 'wait'],
  run: async (parsed, context) => {
    const queue = queueOf(context.target, oneWord(parsed, 'queue'));
    await moveAll('drop', [queue], parsed, context);
  },
};

async function moveAll(
  what: Move['what'],
  queues: readonly Drained[],
  parsed: ParsedArgs,
  context: CommandContext,
): Promise<void> {
  const { reason, max, dryRun, why, by, wait } = parsed;
  const { target, print, signal } = context;
  if (!dryRun && !why)
    throw new UsageError(`\`dead ${what}\` needs --why: the reason for the audit trail.`);
  if (!dryRun) checkAction({ what, why, by });
  const options = { what, reason, max, dryRun, look: lookOf(parsed), why, by };
  const isWanted = (letter: Letter) => matches(letter, reason);
  const rows: [id: string, moved: MoveResult][] = [];
  const problems: string[] = [];
  printTarget(context);
  for (const queue of queues) {
    if (signal.aborted) break;
    if (wait) await waitUntilNoneInFlight({ ...context, sqs: target.sqs }, queue.dead);
    const { visible, inFlight } = await sizeOf(target.sqs, queue.dead);
    if (!visible && inFlight) problems.push(await inFlightMessage(context, queue, inFlight));
    if (!visible && (inFlight || queues.length > 1)) continue;
    const { moved, result } = await move(context, queue, options, isWanted);
    rows.push([queue.id, moved]);
    if (result.inFlightElsewhere)
      problems.push(await inFlightMessage(context, queue, result.inFlightElsewhere));
    const limit = limitText(result);
    if (limit) problems.push(`${queue.id}: ${limit}`);
  }
  const done = { redrive: 'redriven', drop: 'dropped' }[what];
  if (rows.length || !problems.length)
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
  if (signal.aborted) throw new Error(interrupted);
  const both = rows.reduce((sum, [, moved]) => sum + moved.onBoth, 0);
  const failed = rows.reduce((sum, [, moved]) => sum + moved.failed, 0) - both;
  if (failed)
    problems.push(`SQS refused ${failed} letters; they are still on the dead-letter queue.`);
  if (both)
    problems.push(
      `SQS sent ${both} letters but refused to delete them: they are on both queues. Redrive them again, or drop them.`,
    );
  if (problems.length) throw new Error(problems.join('\n'));
}

export const dead = { list, peek, redrive, drop };
