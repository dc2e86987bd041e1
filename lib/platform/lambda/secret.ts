/** Reads secrets from Secrets Manager and caches them. */
import { SecretsProvider } from '@aws-lambda-powertools/parameters/secrets';
import type * as z from 'zod';
import { Unavailable } from '../errors.ts';
import { issuesOf } from '../issues.ts';
import { type SecretName, secretVariable } from '../names.ts';
import { clientConfig, variable } from './config.ts';

const maxAgeSeconds = 300;
const pastCacheEverySeconds = 5;
let provider: SecretsProvider | undefined;

/**
 * Reads a secret. `pastCache` skips the cache if the cached value was refused, because the secret may have been
 * rotated.
 */
export type ReadSecret<Value> = (how?: { readonly pastCache?: boolean }) => Promise<Value>;

/**
 * Returns a reader of the JSON secret `signalbox/<stage>/<name>`, which is read on first use and cached for five
 * minutes. The variable is checked at cold start; a missing or invalid secret is reported when it is read. `pastCache`
 * reads it at most once in five seconds; calls in between get the value of that read.
 */
export function secret<Value>(
  name: SecretName,
  schema: z.ZodType<Value>,
  clock: () => number = Date.now,
): ReadSecret<Value> {
  const secretId = variable(secretVariable(name));
  let last: { readonly at: number; readonly text: Promise<string> } | undefined;

  async function readPastCache(): Promise<string> {
    if (!last || clock() - last.at >= pastCacheEverySeconds * 1000)
      last = { at: clock(), text: read(secretId, true) };
    return await last.text;
  }

  return async ({ pastCache = false } = {}) => {
    const text = pastCache ? await readPastCache() : await read(secretId, false);
    const value = schema.safeParse(json(text));
    if (value.success) return value.data;
    throw new Unavailable(`The secret ${secretId} is not valid: ${issuesOf(value.error)}`);
  };
}

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
    return undefined; // The schema then reports that an object was expected; the text itself is never shown.
  }
}
