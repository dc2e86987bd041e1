/**
 * `npm run ops -- …`: what a person does by hand to the product as it runs, on this machine or in
 * the cloud.
 */
import { type Command, read, type Said } from './command.ts';
import { dead } from './dead.ts';
import { run, state, switches } from './functions.ts';
import { Mistake } from './mistake.ts';
import { cloudTarget, localTarget, type Target } from './target.ts';

const commands: Readonly<Record<string, Command | Readonly<Record<string, Command>>>> = {
  dead,
  run,
  switch: switches,
  state,
};

const isCommand = (found: Command | Readonly<Record<string, Command>>): found is Command =>
  typeof found['run'] === 'function';

const where = `Everywhere:
  --local DIR  the stack of that folder; without it that of .local, which \`npm start\` made
  --cloud      what is deployed in the account and region of your own AWS configuration
  --help       help for one command`;

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

/**
 * The command that the words name; undefined where only help was asked for, which is then printed.
 */
function commandOf([name = '--help', ...args]: readonly string[]) {
  if (name === '--help' || name === 'help') return console.log(help());
  const found = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!found) throw new Mistake(`There is no command ${name}.`);
  if (isCommand(found)) return { command: found, args };
  const [verb = '--help', ...rest] = args;
  if (verb === '--help') return console.log(helpFor(found));
  const command = Object.hasOwn(found, verb) ? found[verb] : undefined;
  if (!command)
    throw new Mistake(
      `There is no command ${name} ${verb}, only ${Object.keys(found).join(', ')}.`,
    );
  return { command, args: rest };
}

async function targetOf({ cloud, local }: Said): Promise<Target> {
  if (cloud && local !== undefined) throw new Mistake('Either --cloud or --local.');
  return cloud ? await cloudTarget() : await localTarget(local);
}

/** npm may pass on a Ctrl-C that the terminal has sent to this process already. */
const sameWishMs = 1000;

/** The first wish to end is heeded when letters have been put back, the second at once. */
function endOnSignals(): AbortSignal {
  const ending = new AbortController();
  let wishedAt = 0;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      if (ending.signal.aborted && Date.now() - wishedAt > sameWishMs) process.exit(1);
      wishedAt ||= Date.now();
      ending.abort();
    });
  return ending.signal;
}

try {
  const found = commandOf(process.argv.slice(2));
  if (found) {
    const { command, args } = found;
    const said = read(args, command.takes);
    if (said.help) console.log(helpFor(command));
    else {
      const target = await targetOf(said);
      const print = (text: string) => console.log(text);
      await command.run(said, { target, print, signal: endOnSignals() });
    }
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  if (error instanceof Mistake) console.error('`npm run ops -- --help` shows what there is.');
  process.exitCode = error instanceof Mistake ? 2 : 1;
}
