/** Reads variables and configuration documents, and formats what is invalid in a value. */
import { SSMProvider } from '@aws-lambda-powertools/parameters/ssm';
import type * as z from 'zod';
import { Unavailable } from '../errors.ts';
import { issuesOf } from '../issues.ts';
import { settingsVariable } from '../names.ts';
import { reportFailure } from './log.ts';

/** Reads a variable at cold start. Throws if it is missing. */
export function variable(name: string): string {
  const value = process.env[name];
  if (value) return value;
  throw new Error(
    `The variable ${name} is missing: name what it stands for in \`uses\` or \`sends\` of this function in infra/.`,
  );
}

const retryAfterSeconds = 10;
/** Timeouts of one read of a parameter or secret, which is attempted twice. */
export const clientConfig = {
  maxAttempts: 2,
  requestHandler: { connectionTimeout: 1000, requestTimeout: 2000, throwOnRequestTimeout: true },
};
/**
 * Timeouts for SQS and EventBridge, which answer within a tenth of a second. A silent connection is closed after this
 * time, and the SDK retries on another.
 */
export const requestHandler = {
  ...clientConfig.requestHandler,
  requestTimeout: 5_000,
};
let ssm: SSMProvider | undefined;

/**
 * Returns a reader of a domain's configuration document (config/<domain>.json), which is read again once it is a
 * minute old. Fields that the schema does not know are ignored, because a document is deployed before the code that
 * knows its fields, and rolled back after it. If a document cannot be read or is not valid any more, the last good one
 * stays in use, with one warning. Throws `Unavailable` only if there is no good document yet.
 */
export function settings<Settings>(
  domain: string,
  schema: z.ZodType<Settings>,
  { maxAgeSeconds = 60, clock = Date.now }: { maxAgeSeconds?: number; clock?: () => number } = {},
): () => Promise<Settings> {
  const name = variable(settingsVariable(domain));
  let cached: { readonly document: Settings; readonly until: number } | undefined;
  let reading: Promise<Settings> | undefined;
  let failing = false;

  async function readAgain(): Promise<Settings> {
    try {
      const document = await read(name, schema);
      cached = { document, until: clock() + maxAgeSeconds * 1000 };
      failing = false;
      return document;
    } catch (error) {
      if (!cached) throw error;
      if (!failing) reportFailure('settings-kept', { domain }, error);
      failing = true;
      const seconds = Math.min(maxAgeSeconds, retryAfterSeconds);
      cached = { ...cached, until: clock() + seconds * 1000 };
      return cached.document;
    }
  }

  return async () => {
    if (cached && clock() < cached.until) return cached.document;
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
    return undefined; // The schema then reports what was expected.
  }
}
