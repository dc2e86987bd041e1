/** Finds the command that a person typed, runs it, and turns its errors into an exit status. */
import { audit } from './audit.ts';
import {
  type Command,
  type CommandContext,
  leadingOptions,
  type ParsedArgs,
  parseCommand,
} from './command.ts';
import { dead } from './dead.ts';
import { run, state, switches } from './functions.ts';
import { outbox } from './outbox.ts';
import { cloudTarget, localTarget, type Target, type TargetDeps } from './target.ts';
import { UsageError } from './usage-error.ts';

/** What the CLI gets from its process; tests pass their own and call the CLI without a process. */
export interface CliDeps extends TargetDeps, Omit<CommandContext, 'target' | 'signal'> {
  /** Called once, when the command starts: before that a signal ends the process at once. */
  readonly endSignal: () => AbortSignal;
}

/** Exit status of the process: 0 done, 1 failed, 2 refused because the command line is wrong. */
type Status = 0 | 1 | 2;

const commands: Readonly<Record<string, Command | Readonly<Record<string, Command>>>> = {
  dead,
  run,
  switch: switches,
  state,
  audit,
  outbox,
};

const isCommand = (found: Command | Readonly<Record<string, Command>>): found is Command =>
  typeof found['run'] === 'function';

const targetHelp = `Options of every command, before or after its name:
  --local DIR  use the local stack of that folder; default: .local, which \`npm start\` makes
  --cloud      use the stack in the AWS account and region of your own configuration
  --help, -h   show the help of one command`;

function helpFor(found: Command | Readonly<Record<string, Command>>): string {
  const usages = isCommand(found) ? [found.usage] : Object.values(found).map(({ usage }) => usage);
  return `${usages.map((usage) => `npm run ops -- ${usage}`).join('\n\n')}\n\n${targetHelp}`;
}

const help = (): string =>
  Object.values(commands)
    .flatMap((found) => (isCommand(found) ? [found] : Object.values(found)))
    .map(({ usage }) => `npm run ops -- ${usage.split('\n', 1)[0]}`)
    .concat('', targetHelp)
    .join('\n');

/** Runs one command, prints its answer, and returns the exit status. */
export async function runCli(args: readonly string[], deps: CliDeps): Promise<Status> {
  try {
    await runCommand(args, deps);
    return 0;
  } catch (error) {
    deps.printError(error instanceof Error ? error.message : String(error));
    if (!(error instanceof UsageError)) return 1;
    deps.printError('`npm run ops -- --help` lists the commands.');
    return 2;
  }
}

async function runCommand(args: readonly string[], deps: CliDeps): Promise<void> {
  const found = commandOf(args);
  if ('help' in found) return deps.print(found.help);
  const parsed = parseCommand(found.args, found.command.takes);
  if (parsed.help) {
    const more = parsed.words.length ? found.command.explain?.(parsed.words) : undefined;
    return deps.print([helpFor(found.command), ...(more ? [more] : [])].join('\n\n'));
  }
  const target = await targetOf(parsed, deps);
  await found.command.run(parsed, { ...deps, target, signal: deps.endSignal() });
}

/**
 * Returns the command that the words name with its arguments, or the requested help text. The options of every command
 * may precede any word.
 */
export function commandOf(
  words: readonly string[],
): { readonly command: Command; readonly args: readonly string[] } | { readonly help: string } {
  const {
    options,
    rest: [name, ...args],
  } = leadingOptions(words);
  if (name === undefined) return { help: help() };
  if (name === 'help') return args.length ? commandOf([...args, '--help']) : { help: help() };
  const found = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!found) throw new UsageError(`There is no command \`${name}\`.`);
  return isCommand(found)
    ? { command: found, args: [...options, ...args] }
    : verbOf(name, found, [...options, ...args]);
}

function verbOf(name: string, verbs: Readonly<Record<string, Command>>, words: readonly string[]) {
  const {
    options,
    rest: [verb, ...args],
  } = leadingOptions(words);
  if (verb === undefined) return { help: helpFor(verbs) };
  const command = Object.hasOwn(verbs, verb) ? verbs[verb] : undefined;
  if (command) return { command, args: [...options, ...args] };
  throw new UsageError(
    `There is no command \`${name} ${verb}\`; there are: ${Object.keys(verbs).join(', ')}.`,
  );
}

async function targetOf({ cloud, local }: ParsedArgs, deps: TargetDeps): Promise<Target> {
  if (cloud && local !== undefined)
    throw new UsageError('Use either --cloud or --local, not both.');
  return cloud ? await cloudTarget(deps) : await localTarget(deps, local);
}
