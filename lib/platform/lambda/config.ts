/** Reads variables and configuration documents, and formats what is invalid in a value. */
import { SSMProvider } from '@aws-lambda-powertools/parameters/ssm';
import type * as z from 'zod';
import { Unavailable } from '../errors.ts';
import type { Issue } from '../http/refusal.ts';
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

/** Returns the issues of an invalid value as one line: `broker_ids: Invalid input: expected string`. */
export const issuesOf = (error: Pick<z.ZodError, 'issues'>): string =>
  lineOf(issuesIn(error), '; ');

/** Returns the issues of an invalid value as a list. */
export const issuesIn = ({ issues }: Pick<z.ZodError, 'issues'>): Issue[] =>
  issues.flatMap((issue) => unfolded(issue, []));

const lineOf = (issues: readonly Issue[], between: string): string =>
  issues.map(({ path, message }) => (path ? `${path}: ${message}` : message)).join(between);

/**
 * Replaces Zod's text for a value that fits no member of a union, because it names neither field nor member. The
 * member with the fewest issues says what was expected; several such members become one issue.
 */
function unfolded(issue: z.core.$ZodIssue, above: readonly PropertyKey[]): Issue[] {
  const path = [...above, ...issue.path];
  if (issue.code !== 'invalid_union' || issue.message !== 'Invalid input' || !issue.errors.length)
    return [{ path: path.join('.'), message: issue.message }];
  const fewest = Math.min(...issue.errors.map(({ length }) => length));
  const nearest = issue.errors
    .filter(({ length }) => length === fewest)
    .map((issues) => issues.flatMap((one) => unfolded(one, path)));
  const [form = [], ...others] = nearest;
  if (!others.length) return form;
  return [eitherOf(nearest, path.join('.'))];
}

/**
 * Returns one issue for several union members: about the field, if all issues concern one field, otherwise about the
 * value that has the fields.
 */
function eitherOf(forms: readonly Issue[][], whole: string): Issue {
  const [path = whole, ...others] = new Set(forms.flat().map((issue) => issue.path));
  const isOneField = !others.length;
  const texts = forms.map((issues) =>
    isOneField ? issues.map(({ message }) => message).join('; ') : lineOf(issues, '; '),
  );
  return { path: isOneField ? path : whole, message: [...new Set(texts)].join(', or ') };
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
