import { SecretsProvider } from '@aws-lambda-powertools/parameters/secrets';
import * as z from 'zod';
import { Unavailable } from '../errors.ts';
import { issuesOf } from '../issues.ts';
import { type SecretName, secretVariable } from '../names.ts';
import { clientConfig, variable } from './config.ts';

const maxAgeSeconds = 300;
const pastCacheEverySeconds = 5;
let provider: SecretsProvider | undefined;

/** Reads a secret; `pastCache` when what it said before was refused, because it may have been rotated since. */
export type ReadSecret<Value> = (how?: { readonly pastCache?: boolean }) => Promise<Value>;

/**
 * A secret of `signalbox/<stage>/<name>`, JSON, read when it is first asked for and kept for five minutes.
 * Its variable is checked at cold start; that it is missing or of the wrong form is said when it is read.
 * Past its cache it is read once in five seconds at most: who asks in between gets what that reading gave.
 */
export function secret<Value>(
  name: SecretName,
  schema: z.ZodType<Value>,
  clock: () => number = Date.now,
): ReadSecret<Value> {
  const secretId = variable(secretVariable(name));
  let last: { readonly at: number; readonly text: Promise<string> } | undefined;

  async function freshest(): Promise<string> {
    if (!last || clock() - last.at >= pastCacheEverySeconds * 1000)
      last = { at: clock(), text: read(secretId, true) };
    return await last.text;
  }

  return async ({ pastCache = false } = {}) => {
    const text = pastCache ? await freshest() : await read(secretId, false);
    const value = schema.safeParse(json(text));
    if (value.success) return value.data;
    throw new Unavailable(`The secret ${secretId} is not valid: ${issuesOf(value.error)}`);
  };
}

/** The one value that is valid, or the two while one replaces the other: sign with the first, accept both. */
export const newestFirst = <Value>(value: z.ZodType<Value>) =>
  z.union([z.tuple([value]), z.tuple([value, value])]);

async function read(secretId: string, forceFetch: boolean): Promise<string> {
  provider ??= new SecretsProvider({ clientConfig });
  try {
    return String(await provider.get(secretId, { maxAge: maxAgeSeconds, forceFetch }));
  } catch (cause) {
    throw new Unavailable(
      `The secret ${secretId} cannot be read: create it as docs/deploying.md says, or grant it in \`uses\`.`,
      { cause },
    );
  }
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // The schema then says that an object was expected; the text itself is never shown.
  }
}
