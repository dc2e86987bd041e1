import { type ParseArgsConfig, parseArgs } from 'node:util';
import type { Target } from './target.ts';
import { UsageError } from './usage-error.ts';

const known = {
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
type Option = keyof typeof known;
const always: readonly Option[] = ['cloud', 'local', 'help'];

/** What was said after a command's name; what was not said is undefined or false. */
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
  /** Without `npm run ops -- `. */
  readonly usage: string;
  readonly takes: readonly Option[];
  /** What `--help` adds for the words that were said. Throws `Mistake` for words that name nothing. */
  readonly explain?: (words: readonly string[]) => string;
  readonly run: (said: ParsedArgs, here: CommandContext) => Promise<void>;
}

/** What a command works with. */
export interface CommandContext {
  readonly target: Target;
  readonly print: (text: string) => void;
  /** For progress and warnings, which are no part of the answer. */
  readonly printError: (text: string) => void;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** The folder in which the person typed the command: relative paths start there. */
  readonly typedIn: string;
  /** Each look at a queue waits this long for a message before the queue counts as empty. */
  readonly longPollSeconds: number;
  /** Aborted when the person wants it to end: what is held is put back first. */
  readonly signal: AbortSignal;
}

/**
 * Parts the options that every command takes, where they precede a command, from the words after them. Throws `Mistake`
 * for any other option.
 */
export function leadingOptions(args: readonly string[]): {
  readonly options: readonly string[];
  readonly rest: readonly string[];
} {
  let at = 0;
  for (let arg = args[at]; arg?.startsWith('-'); arg = args[at]) {
    const name = always.find((one) => namesOption(arg, one));
    if (!name)
      throw new UsageError(
        `${arg} is no option before a command: --cloud, --local DIR and --help are.`,
      );
    at += known[name].type === 'string' && !arg.includes('=') ? 2 : 1;
  }
  return { options: args.slice(0, at), rest: args.slice(at) };
}

function namesOption(arg: string, name: Option): boolean {
  const option = known[name];
  return (
    arg === `--${name}` ||
    arg.startsWith(`--${name}=`) ||
    ('short' in option && arg === `-${option.short}`)
  );
}

/** Reads a command's words and options. Throws `Mistake` for an option that it does not take. */
export function read(args: readonly string[], takes: readonly Option[]): ParsedArgs {
  const { values, positionals } = parsed(args, [...always, ...takes]);
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

function parsed(args: readonly string[], names: readonly Option[]) {
  const options = Object.fromEntries(names.map((name) => [name, known[name]]));
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

/** Says on what a command acts that changes something: it calls this before its first change. */
export const sayTarget = ({ target, printError }: CommandContext): void =>
  printError(`This acts on ${target.place}.`);

/** The one word after the command. */
export function oneWord({ words }: ParsedArgs, what: string): string {
  const [word, ...others] = words;
  if (word && !others.length) return word;
  throw new UsageError(word ? `One ${what} at a time: ${words.join(' ')}` : `Which ${what}?`);
}
