import { type ParseArgsConfig, parseArgs } from 'node:util';
import { Mistake } from './mistake.ts';
import type { Target } from './target.ts';

const known = {
  cloud: { type: 'boolean', default: false },
  local: { type: 'string' },
  help: { type: 'boolean', default: false },
  reason: { type: 'string' },
  max: { type: 'string' },
  'dry-run': { type: 'boolean', default: false },
  full: { type: 'boolean', default: false },
  input: { type: 'string' },
  by: { type: 'string' },
  why: { type: 'string' },
} as const satisfies ParseArgsConfig['options'];
type Option = keyof typeof known;
const always: readonly Option[] = ['cloud', 'local', 'help'];

/** What was said after a command's name; what was not said is undefined or false. */
export interface Said {
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
}

export interface Command {
  /** Without `npm run ops -- `. */
  readonly usage: string;
  readonly takes: readonly Option[];
  readonly run: (said: Said, here: Here) => Promise<void>;
}

/** What a command works with. */
export interface Here {
  readonly target: Target;
  readonly print: (text: string) => void;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** The folder in which the person typed the command: relative paths start there. */
  readonly typedIn: string;
  /** Each look at a queue waits this long for a message before the queue counts as empty. */
  readonly longPollSeconds: number;
  /** Aborted when the person wants it to end: what is held is put back first. */
  readonly signal: AbortSignal;
}

/** Reads a command's words and options. Throws `Mistake` for an option that it does not take. */
export function read(args: readonly string[], takes: readonly Option[]): Said {
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
    max: countOf(text('max')),
    dryRun: flag('dry-run'),
    full: flag('full'),
    input: text('input'),
    by: text('by'),
    why: text('why'),
  };
}

function parsed(args: readonly string[], names: readonly Option[]) {
  const options = Object.fromEntries(names.map((name) => [name, known[name]]));
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    throw new Mistake(error instanceof Error ? error.message : String(error));
  }
}

function countOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new Mistake(`--max ${text}: expected a positive number.`);
}

/** The one word after the command. */
export function oneWord({ words }: Said, what: string): string {
  const [word, ...others] = words;
  if (word && !others.length) return word;
  throw new Mistake(word ? `One ${what} at a time: ${words.join(' ')}` : `Which ${what}?`);
}
