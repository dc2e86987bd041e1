import { audit } from './audit.ts';
import {
  type Command,
  type CommandContext,
  leadingOptions,
  type ParsedArgs,
  read,
} from './command.ts';
import { dead } from './dead.ts';
import { run, state, switches } from './functions.ts';
import { outbox } from './outbox.ts';
import { cloudTarget, localTarget, type Target, type TargetDeps } from './target.ts';
import { UsageError } from './usage-error.ts';

/** What a process gives to the CLI; tests give their own and call the CLI without a process. */
export interface CliDeps extends TargetDeps, Omit<CommandContext, 'target' | 'signal'> {
  /** Called once, when the command starts: until then a signal ends the process at once. */
  readonly endSignal: () => AbortSignal;
}

/** Exit status of a process: done, failed, or refused because what the person typed is wrong. */
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

const where = `Everywhere, before a command or after it:
  --local DIR  the stack of that folder; without it that of .local, which \`npm start\` made
  --cloud      what is deployed in the account and region of your own AWS configuration
  --help, -h   help for one command`;

function helpFor(found: Command | Readonly<Record<string, Command>>): string {
  const usages = isCommand(found) ? [found.usage] : Object.values(found).map(({ usage }) => usage);
  return `${usages.map((usage) => `npm run ops -- ${usage}`).join('\n\n')}\n\n${where}`;
}

const help = (): string =>
  Object.values(commands)
    .flatMap((found) => (isCommand(found) ? [found] : Object.values(found)))
    .map(({ usage }) => `npm run ops -- ${usage.split('\n', 1)[0]}`)
    .concat('', where)
    .join('\n');

/** Runs one command of a person to its end, prints what it says, and returns the exit status. */
export async function runCli(args: readonly string[], deps: CliDeps): Promise<Status> {
  try {
    await runCommand(args, deps);
    return 0;
  } catch (error) {
    deps.printError(error instanceof Error ? error.message : String(error));
    if (!(error instanceof UsageError)) return 1;
    deps.printError('`npm run ops -- --help` shows what there is.');
    return 2;
  }
}

async function runCommand(args: readonly string[], deps: CliDeps): Promise<void> {
  const found = commandOf(args);
  if ('help' in found) return deps.print(found.help);
  const said = read(found.args, found.command.takes);
  if (said.help) {
    const more = said.words.length ? found.command.explain?.(said.words) : undefined;
    return deps.print([helpFor(found.command), ...(more ? [more] : [])].join('\n\n'));
  }
  const target = await targetOf(said, deps);
  await found.command.run(said, { ...deps, target, signal: deps.endSignal() });
}

/**
 * Returns the command that the words name and what belongs to it, or the help that they ask for. Options that every
 * command takes may precede any word.
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
  if (!found) throw new UsageError(`There is no command ${name}.`);
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
    `There is no command ${name} ${verb}, only ${Object.keys(verbs).join(', ')}.`,
  );
}

async function targetOf({ cloud, local }: ParsedArgs, deps: TargetDeps): Promise<Target> {
  if (cloud && local !== undefined) throw new UsageError('Either --cloud or --local.');
  return cloud ? await cloudTarget(deps) : await localTarget(deps, local);
}
