/** Parses the options of all commands; defines what a command is and what it runs with. */
import { type ParseArgsConfig, parseArgs } from 'node:util';
import type { Target } from './target.ts';
import { UsageError } from './usage-error.ts';

const optionTypes = {
  cloud: { type: 'boolean', default: false },
  local: { type: 'string' },
  help: { type: 'boolean', short: 'h', default: false },
  reason: { type: 'string' },
  max: { type: 'string' },
  'dry-run': { type: 'boolean', default: false },
  full: { type: 'boolean', default: false },
  input: { type: 'string' },
  by: { type: 'string' },
  why: { type: 'string' },
  look: { type: 'string' },
  wait: { type: 'boolean', default: false },
  all: { type: 'boolean', default: false },
  since: { type: 'string' },
  until: { type: 'string' },
  what: { type: 'string' },
  about: { type: 'string' },
  before: { type: 'string' },
  to: { type: 'string' },
} as const satisfies ParseArgsConfig['options'];
type Option = keyof typeof optionTypes;
const commonOptions: readonly Option[] = ['cloud', 'local', 'help'];

/** The parsed command line; what it does not contain is undefined or false. */
export interface ParsedArgs {
  readonly words: readonly string[];
  readonly cloud: boolean;
  readonly local: string | undefined;
  readonly help: boolean;
  readonly reason: string | undefined;
  readonly max: number | undefined;
  readonly dryRun: boolean;
  readonly full: boolean;
  readonly input: string | undefined;
  readonly by: string | undefined;
  readonly why: string | undefined;
  readonly look: number | undefined;
  readonly wait: boolean;
  readonly all: boolean;
  readonly since: string | undefined;
  readonly until: string | undefined;
  readonly what: string | undefined;
  readonly about: string | undefined;
  readonly before: string | undefined;
  readonly to: string | undefined;
}

export interface Command {
  /** The help text, without `npm run ops -- `; its first line is the synopsis. */
  readonly usage: string;
  readonly takes: readonly Option[];
  /** Returns what `--help` adds for these words. Throws `UsageError` if they name nothing. */
  readonly explain?: (words: readonly string[]) => string;
  readonly run: (parsed: ParsedArgs, context: CommandContext) => Promise<void>;
}

/** What a command runs with. */
export interface CommandContext {
  readonly target: Target;
  readonly print: (text: string) => void;
  /** Prints progress and warnings, which are not part of the answer. */
  readonly printError: (text: string) => void;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** The folder in which the command was typed: relative paths start there. */
  readonly typedIn: string;
  /** How long one receive waits for a message before the queue counts as empty. */
  readonly longPollSeconds: number;
  /** Aborted when the person presses Ctrl-C: the command puts received letters back first. */
  readonly signal: AbortSignal;
}

/**
 * Splits the options that precede a command from the words after them. Throws `UsageError` for an option that only some
 * commands take.
 */
export function leadingOptions(args: readonly string[]): {
  readonly options: readonly string[];
  readonly rest: readonly string[];
} {
  let at = 0;
  for (let arg = args[at]; arg?.startsWith('-'); arg = args[at]) {
    const name = commonOptions.find((one) => namesOption(arg, one));
    if (!name)
      throw new UsageError(
        `${arg} cannot precede a command: only --cloud, --local DIR and --help can.`,
      );
    at += optionTypes[name].type === 'string' && !arg.includes('=') ? 2 : 1;
  }
  return { options: args.slice(0, at), rest: args.slice(at) };
}

function namesOption(arg: string, name: Option): boolean {
  const option = optionTypes[name];
  return (
    arg === `--${name}` ||
    arg.startsWith(`--${name}=`) ||
    ('short' in option && arg === `-${option.short}`)
  );
}

/** Parses a command's words and options. Throws `UsageError` for an option that the command does not take. */
export function parseCommand(args: readonly string[], takes: readonly Option[]): ParsedArgs {
  const { values, positionals } = parseOptions(args, [...commonOptions, ...takes]);
  const text = (name: Option) => {
    const value = values[name];
    return typeof value === 'string' ? value : undefined;
  };
  const flag = (name: Option) => values[name] === true;
  return {
    words: positionals,
    cloud: flag('cloud'),
    local: text('local'),
    help: flag('help'),
    reason: text('reason'),
    max: countOf('max', text('max')),
    dryRun: flag('dry-run'),
    full: flag('full'),
    input: text('input'),
    by: text('by'),
    why: text('why'),
    look: countOf('look', text('look')),
    wait: flag('wait'),
    all: flag('all'),
    since: text('since'),
    until: text('until'),
    what: text('what'),
    about: text('about'),
    before: text('before'),
    to: text('to'),
  };
}

function parseOptions(args: readonly string[], names: readonly Option[]) {
  const options = Object.fromEntries(names.map((name) => [name, optionTypes[name]]));
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function countOf(name: Option, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new UsageError(`--${name} ${text}: expected a positive number.`);
}

/** Prints which stack a command acts on. Commands that change something call it before their first change. */
export const printTarget = ({ target, printError }: CommandContext): void =>
  printError(`This acts on ${target.place}.`);

/** Returns the only word after the command; `what` names it in errors. */
export function oneWord({ words }: ParsedArgs, what: string): string {
  const [word, ...others] = words;
  if (word && !others.length) return word;
  throw new UsageError(
    word
      ? `Expected one ${what}, got: ${words.join(' ')}`
      : `Expected a ${what} after the command.`,
  );
}
