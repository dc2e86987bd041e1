import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { resolve } from 'node:path';
import { table } from '../local/progress.ts';
import { type Command, type CommandContext, oneWord, sayTarget } from './command.ts';
import { sizeOf } from './dead-letters.ts';
import { tablesOf } from './format-answer.ts';
import { checkInput, checkOptions, explainInput } from './inputs.ts';
import { checkStartedByHand, invoke } from './invoke.ts';
import { permissions } from './permissions.ts';
import { agesOf } from './queue-ages.ts';
import { UsageError } from './usage-error.ts';

/** Invocations of one `run`; at 15 minutes each that is more than a week. */
const invocationsMax = 1000;

export const run: Command = {
  usage: `run <function id> [--input JSON|@FILE]
  Starts a function that is meant for it, again as long as its answer says that there is more to do, and shows the
  answer. The input is {} where none is given. \`run <function id> --help\` shows what the function takes.`,
  takes: ['input'],
  explain: ([id = '']) => explainInput(id),
  run: async (said, here) => {
    const id = oneWord(said, 'function');
    const input = inputOf(here.typedIn, said.input);
    checkInput(id, input);
    await checkStartedByHand(here.target, id);
    sayTarget(here);
    await untilDone(id, input, here);
  },
};

function inputOf(typedIn: string, said = '{}'): unknown {
  const text = said.startsWith('@') ? contentOf(typedIn, said.slice(1)) : said;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UsageError(`--input is not JSON: ${error instanceof Error ? error.message : error}`);
  }
}

function contentOf(typedIn: string, file: string): string {
  try {
    return readFileSync(resolve(typedIn, file), 'utf8');
  } catch {
    throw new UsageError(`--input @${file}: there is no such file.`);
  }
}

async function untilDone(
  id: string,
  first: unknown,
  { target, print, signal }: CommandContext,
): Promise<void> {
  let input = first;
  const goOn = () => `npm run ops -- run ${id} --input '${JSON.stringify(input)}'${target.option}`;
  for (let invocation = 1; invocation <= invocationsMax; invocation++) {
    if (signal.aborted) throw new Error(`Ended before the work was. To go on:\n  ${goOn()}`);
    const { resume, ...answer } = await invoke(target, id, input).catch((cause) => {
      const text = cause instanceof Error ? cause.message : String(cause);
      throw invocation === 1 ? cause : new Error(`${text}\nTo go on:\n  ${goOn()}`, { cause });
    });
    if (resume === undefined) return print(tablesOf(id, answer));
    if (JSON.stringify(resume) === JSON.stringify(input))
      throw new Error(`${id} gets no further: it answered with the input that it was given.`);
    print(`${invocation}: ${JSON.stringify(answer)}`);
    input = resume;
  }
  throw new Error(`Not done after ${invocationsMax} invocations. To go on:\n  ${goOn()}`);
}

const set = (state: 'off' | 'on', meaning: string): Command => ({
  usage: `switch ${state} <name> --why TEXT [--by NAME]
  ${meaning}`,
  takes: ['why', 'by'],
  run: async (said, here) => {
    const { target, print } = here;
    const name = oneWord(said, 'switch');
    const { why, by = userInfo().username } = said;
    if (!why) throw new UsageError(`switch ${state} needs --why, for the audit trail.`);
    const input = { name, state, by, why };
    checkOptions('platform/set-switch', input, { name: '<name>' });
    sayTarget(here);
    const answer = await invoke(target, 'platform/set-switch', input);
    if (answer.outcome === 'no such switch')
      throw new UsageError(
        `There is no switch ${name}: \`switch list --all\` shows those there are.`,
      );
    if (answer.outcome === 'never set')
      throw new UsageError(`${name} was never off: \`switch list\` shows those that were.`);
    print(tablesOf(name, answer));
  },
});

const list: Command = {
  usage: `switch list [--all]
  Which kill switches were ever set, by whom, when and why; with --all every one there is, and what it stops. In a name
  such as order/scenario-<n>, n is a number that its text names.`,
  takes: ['all'],
  run: async ({ words, all }, { target, print }) => {
    if (words.length) throw new UsageError('switch list shows all switches.');
    const input = all ? { allSwitches: true } : {};
    const { switches } = await invoke(target, 'platform/report-state', input);
    print(tablesOf('switches', { switches }).split('\n').slice(3).join('\n'));
  },
};

export const switches = {
  list,
  off: set('off', 'Stops within a minute what the switch names, without losing anything.'),
  on: set('on', 'Lets it go on, and sends at once what it held.'),
};

export const state: Command = {
  usage: `state
  How far behind everything is: scans, outbox, claims, switches, and how full each queue is.`,
  takes: [],
  run: async ({ words }, { target, print, now }) => {
    if (words.length) throw new UsageError('state shows everything.');
    const { outcome: _, ...facts } = await invoke(target, 'platform/report-state', {});
    print(tablesOf('state', facts));
    const nameOf = (url: string) => url.slice(url.lastIndexOf('/') + 1);
    const names = target.queues.map(({ live }) => nameOf(live));
    const ages = await agesOf(target.metrics, names, now()).catch(asError);
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
    if (ages instanceof Error) throw new Error(withoutAges(ages), { cause: ages });
  },
};

const asError = (thrown: unknown): Error =>
  thrown instanceof Error ? thrown : new Error(String(thrown));

function withoutAges({ message }: Error): string {
  const { actions, resource } = permissions.GetMetricDataCommand;
  return `The age of the oldest message of each queue is missing (it needs ${actions.join(', ')} on ${resource}): ${message}`;
}
