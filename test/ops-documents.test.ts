import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { functionIds } from '../infra/constructs/bundle.ts';
import { brokerSwitches } from '../lib/broker/switches.ts';
import { callSwitches } from '../lib/call/switches.ts';
import { orderSwitches } from '../lib/order/switches.ts';
import { isSwitch } from '../lib/platform/operations/switches.ts';
import { root } from '../local/root.ts';
import { commandOf } from '../ops/cli.ts';
import { type ParsedArgs, parseCommand } from '../ops/command.ts';
import { checkInput, explainInput } from '../ops/inputs.ts';

const switches = { ...brokerSwitches, ...callSwitches, ...orderSwitches };
const ids = functionIds();
const pages = ['README.md', ...globSync('docs/**/*.md', { cwd: root }).toSorted()];

/** Returns the commands of a page: in backticks, with or without `npm run ops -- `, or as lines of a code block. */
const commandsIn = (page: string): string[] =>
  [
    ...page.matchAll(/`npm run ops -- ([^`]+)`/g),
    ...page.matchAll(/`((?:dead|switch|outbox|audit) (?!trail)[^`]+)`/g),
    ...page.matchAll(/^npm run ops -- (.+?)(?: {2,}.*)?$/gm),
  ]
    .map(([, command = '']) => command)
    .filter((command) => command !== '…');

const documented = pages.flatMap((path) =>
  commandsIn(readFileSync(join(root, path), 'utf8')).map((command) => ({ path, command })),
);

/** Splits a command into words like a shell; a placeholder such as `<function id>` is one word. */
const wordsOf = (command: string): string[] =>
  [...command.matchAll(/'([^']*)'|"([^"]*)"|(<[^>]*>)|(\S+)/g)].map(
    ([, single, double, placeholder, bare]) => single ?? double ?? placeholder ?? bare ?? '',
  );

/** Replaces `off|on` by each of its words. */
const variantsOf = (command: string): string[] => {
  const [choice] = command.match(/(?<=\s)[a-z]+(\|[a-z]+)+(?=\s)/) ?? [];
  return choice ? choice.split('|').map((word) => command.replace(choice, word)) : [command];
};

const isPlaceholder = (word: string): boolean => word === '…' || /^<[^<>]+>$/.test(word);

function checkCommand(command: string): void {
  const found = commandOf(wordsOf(command));
  if ('help' in found) throw new Error('The command only shows the help.');
  const { usage, takes } = found.command;
  const parsed = parseCommand(found.args, takes);
  if (parsed.help) {
    for (const word of parsed.words) if (!isPlaceholder(word)) found.command.explain?.([word]);
    return;
  }
  const firstLine = usage.split('\n', 1)[0] ?? '';
  const [, name] = firstLine.match(/ <([\w| ]+)>/) ?? [];
  expect(parsed.words).toHaveLength(name ? 1 : 0);
  if (/(?<!\[)--why TEXT/.test(firstLine)) expect(parsed.why).toBeTruthy();
  checkName(firstLine, parsed);
  if (firstLine.startsWith('run ') && parsed.input !== '{…}') checkFields(parsed);
}

/** Checks that an input has the fields of its function; on a page the values may be placeholders. */
function checkFields({ words: [id = ''], input = '{}' }: ParsedArgs): void {
  if (isPlaceholder(id)) return;
  const given = JSON.parse(input);
  if (!JSON.stringify(given).includes('…')) {
    checkInput(id, given);
    return;
  }
  const explained = explainInput(id);
  for (const [, field = ''] of explained.matchAll(/^ {2}(\w+) +.*, required: /gm))
    expect(given, id).toHaveProperty(field);
  for (const field of Object.keys(given))
    expect(explained).toMatch(new RegExp(`^ {2}${field} `, 'm'));
}

function checkName(firstLine: string, { words: [name] }: ParsedArgs): void {
  if (name === undefined || isPlaceholder(name)) return;
  if (name === 'all' && firstLine.includes('|all>')) return;
  if (firstLine.startsWith('switch ')) expect(isSwitch(switches, name), name).toBe(true);
  else expect(ids).toContain(name);
}

test('the documents contain commands of every kind', () => {
  const first = new Set(documented.map(({ command }) => command.split(' ', 1)[0]));
  expect([...first].toSorted()).toEqual([...['audit', 'dead', 'outbox', 'run', 'state', 'switch']]);
  expect(documented.length).toBeGreaterThan(40);
});

test.each(documented)('$path contains a valid command: npm run ops -- $command', ({ command }) => {
  for (const variant of variantsOf(command)) checkCommand(variant);
});

test.each(documented.filter(({ path }) => path.startsWith('docs/runbooks/')))(
  'the runbook $path uses --cloud in: $command',
  ({ command }) => {
    const found = commandOf(wordsOf(command));
    if ('help' in found) throw new Error('The command only shows the help.');
    expect(parseCommand(found.args, found.command.takes).cloud).toBe(true);
  },
);

test.each([
  'switch charging off',
  'switch off charging',
  'switch off charges --why "…"',
  'switch off call/filter-call charging --why "…"',
  'switch on',
  'dead drop call/charge-call',
  'run call/reconcile --why "…"',
  'run call/nothing',
  "run call/reconcile --input '{from}'",
  `run call/reconcile --input '{"until": "…"}'`,
  'run call/resume-charging',
  'outbox drop <id>',
  'audit lena',
  'outbox burn <id> --why "…"',
])('checkCommand refuses: %s', (command) => {
  expect(() => checkCommand(command)).toThrow();
});
