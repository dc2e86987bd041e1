import { SSMProvider } from '@aws-lambda-powertools/parameters/ssm';
import type * as z from 'zod';
import { Unavailable } from '../errors.ts';
import { issuesOf } from '../issues.ts';
import { settingsVariable } from '../names.ts';
import { reportFailure } from './log.ts';

/** Reads a variable at cold start. Throws one line that names the one that is missing. */
export function variable(name: string): string {
  const value = process.env[name];
  if (value) return value;
  throw new Error(
    `The variable ${name} is missing: name what it stands for in \`uses\` or \`sends\` of this function in infra/.`,
  );
}

const retryAfterSeconds = 10;
/** Above these a reading counts as failed; it has one more attempt. */
export const clientConfig = {
  maxAttempts: 2,
  requestHandler: { connectionTimeout: 1000, requestTimeout: 2000, throwOnRequestTimeout: true },
};
/**
 * For queue and bus, which answer within a tenth of a second: a connection that has become silent is closed after this
 * much time, and the SDK asks again on another.
 */
export const requestHandler = {
  ...clientConfig.requestHandler,
  requestTimeout: 5_000,
};
let ssm: SSMProvider | undefined;

/**
 * A domain's configuration document (config/<domain>.json), read again when it is a minute old. Fields that the schema
 * does not know are ignored: a document is deployed before, and rolled back after, the code that knows its fields.
 * One that cannot be read again, or is not valid any more, leaves the last good one in force, with one warning; only
 * where there is none yet it throws `Unavailable`.
 */
export function settings<Settings>(
  domain: string,
  schema: z.ZodType<Settings>,
  { maxAgeSeconds = 60, clock = Date.now }: { maxAgeSeconds?: number; clock?: () => number } = {},
): () => Promise<Settings> {
  const name = variable(settingsVariable(domain));
  let held: { readonly document: Settings; readonly until: number } | undefined;
  let reading: Promise<Settings> | undefined;
  let failing = false;

  async function readAgain(): Promise<Settings> {
    try {
      const document = await read(name, schema);
      held = { document, until: clock() + maxAgeSeconds * 1000 };
      failing = false;
      return document;
    } catch (error) {
      if (!held) throw error;
      if (!failing) reportFailure('settings-kept', { domain }, error);
      failing = true;
      const seconds = Math.min(maxAgeSeconds, retryAfterSeconds);
      held = { ...held, until: clock() + seconds * 1000 };
      return held.document;
    }
  }

  return async () => {
    if (held && clock() < held.until) return held.document;
    reading ??= readAgain().finally(() => {
      reading = undefined;
    });
    return await reading;
  };
}

async function read<Settings>(name: string, schema: z.ZodType<Settings>): Promise<Settings> {
  ssm ??= new SSMProvider({ clientConfig });
  const text = await ssm.get(name, { forceFetch: true }).catch((cause) => {
    throw new Unavailable(`The parameter ${name} cannot be read.`, { cause });
  });
  if (!text) throw new Unavailable(`The parameter ${name} is empty: deploy again.`);
  const document = parseKnown(schema, json(text));
  if (document.success) return document.data;
  throw new Unavailable(`The parameter ${name} is not valid: ${issuesOf(document.error)}`);
}

/** Parses `value` without the fields that a strict object of the schema, at any depth, does not know. */
function parseKnown<Value>(schema: z.ZodType<Value>, value: unknown): z.ZodSafeParseResult<Value> {
  const result = schema.safeParse(value);
  const issues = result.error?.issues.filter((issue) => issue.code === 'unrecognized_keys') ?? [];
  if (!issues.length) return result;
  const known = structuredClone(value);
  for (const { path, keys } of issues) {
    const object = path.reduce<unknown>((at, part) => Reflect.get(Object(at), part), known);
    for (const key of keys) Reflect.deleteProperty(Object(object), key);
  }
  return schema.safeParse(known);
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // The schema then says what was expected.
  }
}
