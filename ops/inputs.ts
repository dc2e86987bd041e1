/** Checks and explains the inputs of the functions that are started by hand. */
import * as z from 'zod';
import { brokerInputs } from '../lib/broker/inputs.ts';
import { callInputs } from '../lib/call/inputs.ts';
import { orderInputs } from '../lib/order/inputs.ts';
import { platformInputs } from '../lib/platform/operations/inputs.ts';
import { UsageError } from './usage-error.ts';

/** Input schemas of the functions that are started by hand, by function id, as in this copy of the code. */
export const inputs: Readonly<Record<string, z.ZodType>> = {
  ...brokerInputs,
  ...callInputs,
  ...orderInputs,
  ...platformInputs,
};

const schemaOf = (id: string) => (Object.hasOwn(inputs, id) ? inputs[id] : undefined);

/** Throws `UsageError` with every wrong field. A function that this copy does not know checks its input itself. */
export function checkInput(id: string, input: unknown): void {
  const result = schemaOf(id)?.safeParse(input);
  if (!result || result.success) return;
  throw new UsageError(
    [
      `${id} was not started, because its input is not valid:`,
      ...linesOf(result.error),
      `\`npm run ops -- run ${id} --help\` shows its fields.`,
    ].join('\n'),
  );
}

/** Like `checkInput`, for fields that were given as options of the same name or as the arguments in `words`. */
export function checkOptions(
  id: string,
  input: unknown,
  words: Readonly<Record<string, string>> = {},
): void {
  const result = schemaOf(id)?.safeParse(input);
  if (!result || result.success) return;
  throw new UsageError(linesOf(result.error, (field) => words[field] ?? `--${field}`).join('\n'));
}

const linesOf = (
  { issues }: z.ZodError,
  nameOf: (field: string) => string = (field) => field,
): string[] =>
  issues.map(({ path, message }) =>
    path.length ? `  ${nameOf(path.join('.'))}: ${message}` : `  ${message}`,
  );

/** The part of a field's JSON schema that the help shows. */
interface Field {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly format?: string;
  readonly maxLength?: number;
}

/** Describes the fields of a function's input, with examples. Throws `UsageError` if it is not started by hand. */
export function explainInput(id: string): string {
  const schema = schemaOf(id);
  if (!schema)
    throw new UsageError(
      `${id} is no function that is started by hand. These are: ${Object.keys(inputs).join(', ')}.`,
    );
  const { properties = {}, required = [] } = z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
  });
  const fields = Object.entries(properties as Readonly<Record<string, Field>>);
  const width = Math.max(...fields.map(([name]) => name.length));
  const lines = fields.map(([name, field]) => {
    const need = required.includes(name) ? 'required' : defaultOf(field);
    return `  ${name.padEnd(width)}  ${formOf(field)}, ${need}: ${field.description ?? name}`;
  });
  const examples = (schema.meta()?.['examples'] ?? []) as readonly unknown[];
  return [
    `The input of ${id} is a JSON object with these fields only:`,
    lines.join('\n'),
    ...examples.map(
      (example) => `Example:\n  npm run ops -- run ${id} --input '${JSON.stringify(example)}'`,
    ),
  ].join('\n\n');
}

function formOf(field: Field): string {
  if (field.enum) return field.enum.map((value) => JSON.stringify(value)).join(' or ');
  if (field.const !== undefined) return JSON.stringify(field.const);
  if (field.format === 'date') return 'a day such as "2026-11-20"';
  const names: Readonly<Record<string, string>> = {
    string: 'text',
    integer: 'a whole number',
    boolean: 'true or false',
    object: 'an object',
  };
  const name = names[field.type ?? ''] ?? field.type ?? 'anything';
  return field.type === 'string' && field.maxLength
    ? `${name} of at most ${field.maxLength} characters`
    : name;
}

const defaultOf = (field: Field): string =>
  field.default === undefined ? 'optional' : `default ${JSON.stringify(field.default)}`;
