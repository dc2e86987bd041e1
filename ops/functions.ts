/** `run`, `switch` and `state`: invoke functions by hand, set kill switches, show the state of the stack. */
import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { resolve } from 'node:path';
import { table } from '../local/progress.ts';
import { type Command, type CommandContext, oneWord, printTarget } from './command.ts';
import { sizeOf } from './dead-letters.ts';
import { tablesOf } from './format-answer.ts';
import { checkInput, checkOptions, explainInput } from './inputs.ts';
import { checkStartedByHand, invoke } from './invoke.ts';
import { permissions } from './permissions.ts';
import { readQueueAges } from './queue-ages.ts';
import { UsageError } from './usage-error.ts';

/** The most invocations of one `run`: at 15 minutes each more than a week. */
const invocationsMax = 1000;

export const run: Command = {
  usage: `run <function id> [--input JSON|@FILE]
  Starts a function that may be started by hand, again as long as its answer contains \`resume\`, and shows the last
  answer. The input is {} by default. \`run <function id> --help\` shows its fields.`,
  takes: ['input'],
  explain: ([id = '']) => explainInput(id),
  run: async (parsed, context) => {
    const id = oneWord(parsed, 'function');
    const input = inputOf(context.typedIn, parsed.input);
    checkInput(id, input);
    await checkStartedByHand(context.target, id);
    printTarget(context);
    await runToEnd(id, input, context);
  },
};

function inputOf(typedIn: string, input = '{}'): unknown {
  const text = input.startsWith('@') ? readInput(typedIn, input.slice(1)) : input;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UsageError(`--input is not JSON: ${error instanceof Error ? error.message : error}`);
  }
}

function readInput(typedIn: string, file: string): string {
  try {
    return readFileSync(resolve(typedIn, file), 'utf8');
  } catch {
    throw new UsageError(`--input @${file}: the file cannot be read.`);
  }
}

async function runToEnd(
  id: string,
  first: unknown,
  { target, print, signal }: CommandContext,
): Promise<void> {
  let input = first;
  const resumeCommand = () =>
    `npm run ops -- run ${id} --input '${JSON.stringify(input)}'${target.option}`;
  for (let invocation = 1; invocation <= invocationsMax; invocation++) {
    if (signal.aborted)
      throw new Error(`Interrupted before ${id} was done. Resume with:\n  ${resumeCommand()}`);
    const { resume, ...answer } = await invoke(target, id, input).catch((cause) => {
      const text = cause instanceof Error ? cause.message : String(cause);
      throw invocation === 1
        ? cause
        : new Error(`${text}\nResume with:\n  ${resumeCommand()}`, { cause });
    });
    if (resume === undefined) return print(tablesOf(id, answer));
    if (JSON.stringify(resume) === JSON.stringify(input))
      throw new Error(
        `${id} makes no progress: \`resume\` equals the input of the last invocation.`,
      );
    print(`${invocation}: ${JSON.stringify(answer)}`);
    input = resume;
  }
  throw new Error(
    `${id} is not done after ${invocationsMax} invocations. Resume with:\n  ${resumeCommand()}`,
  );
}

const setSwitch = (state: 'off' | 'on', meaning: string): Command => ({
  usage: `switch ${state} <name> --why TEXT [--by NAME]
  ${meaning}`,
  takes: ['why', 'by'],
  run: async (parsed, context) => {
    const { target, print } = context;
    const name = oneWord(parsed, 'switch');
    const { why, by = userInfo().username } = parsed;
    if (!why)
      throw new UsageError(`\`switch ${state}\` needs --why: the reason for the audit trail.`);
    const input = { name, state, by, why };
    checkOptions('platform/set-switch', input, { name: '<name>' });
    printTarget(context);
    const answer = await invoke(target, 'platform/set-switch', input);
    if (answer.outcome === 'no-such-switch')
      throw new UsageError(`There is no kill switch ${name}: \`switch list --all\` lists them.`);
    if (answer.outcome === 'never-set')
      throw new UsageError(
        `The kill switch ${name} was never off: \`switch list\` shows those that were.`,
      );
    print(tablesOf(name, answer));
  },
});

const list: Command = {
  usage: `switch list [--all]
  Lists the kill switches that were ever set, with person, time and reason; with --all every kill switch and what it
  stops. In a name such as order/scenario-<n>, n is one of the numbers that its text lists.`,
  takes: ['all'],
  run: async ({ words, all }, { target, print }) => {
    if (words.length) throw new UsageError('`switch list` takes no arguments.');
    const input = all ? { allSwitches: true } : {};
    const { switches } = await invoke(target, 'platform/report-state', input);
    print(tablesOf('switches', { switches }).split('\n').slice(3).join('\n'));
  },
};

export const switches = {
  list,
  off: setSwitch(
    'off',
    'Stops within a minute what the switch names. Nothing is lost: messages wait.',
  ),
  on: setSwitch('on', 'Resumes what the switch names, and sends the waiting messages at once.'),
};

export const state: Command = {
  usage: `state
  Shows delays and backlogs: scans, outbox, leases, kill switches, and the size of each queue.`,
  takes: [],
  run: async ({ words }, { target, print, now }) => {
    if (words.length) throw new UsageError('`state` takes no arguments.');
    const { outcome: _, ...facts } = await invoke(target, 'platform/report-state', {});
    print(tablesOf('state', facts));
    const nameOf = (url: string) => url.slice(url.lastIndexOf('/') + 1);
    const names = target.queues.map(({ live }) => nameOf(live));
    const ages = await readQueueAges(target.metrics, names, now()).catch(asError);
    const rows = await Promise.all(
      target.queues.map(async ({ id, live, dead }) => {
        const sizes = [await sizeOf(target.sqs, live), await sizeOf(target.sqs, dead)] as const;
        const [{ visible, inFlight, delayed }, letters] = sizes;
        const age = (ages instanceof Error ? undefined : ages.get(nameOf(live))) ?? '–';
        return [id, visible, inFlight, delayed, age, letters.visible + letters.inFlight];
      }),
    );
    const header = ['queue', 'waiting', 'in flight', 'delayed', 'oldest, s', 'dead letters'];
    print(`\n${table(header, rows)}`);
    if (ages instanceof Error) throw new Error(missingAges(ages), { cause: ages });
  },
};

const asError = (thrown: unknown): Error =>
  thrown instanceof Error ? thrown : new Error(String(thrown));

function missingAges({ message }: Error): string {
  const { actions, resource } = permissions.GetMetricDataCommand;
  return `Could not read the age of each queue's oldest message (this needs ${actions.join(', ')} on ${resource}): ${message}`;
}
