import { SecretsProvider } from '@aws-lambda-powertools/parameters/secrets';
import type * as z from 'zod';
import { issuesOf, variable } from './config.ts';
import { Unavailable } from './errors.ts';
import { secretVariable } from './names.ts';

const maxAgeSeconds = 300;
let provider: SecretsProvider | undefined;

/**
 * A secret of `signalbox/<stage>/<name>`, JSON, read when it is first asked for and kept for five minutes.
 * Its variable is checked at cold start; that it is missing or of the wrong form is said when it is read.
 */
export function secret<Value>(name: string, schema: z.ZodType<Value>): () => Promise<Value> {
  const secretId = variable(secretVariable(name));
  return async () => {
    provider ??= new SecretsProvider();
    const text = await provider.get(secretId, { maxAge: maxAgeSeconds }).catch((cause) => {
      throw new Unavailable(
        `The secret ${secretId} cannot be read: create it as README says, or grant it in \`uses\`.`,
        { cause },
      );
    });
    const value = schema.safeParse(json(text));
    if (value.success) return value.data;
    throw new Unavailable(`The secret ${secretId} is not valid: ${issuesOf(value.error)}`);
  };
}

function json(text: string | Uint8Array | undefined): unknown {
  try {
    return JSON.parse(String(text));
  } catch {
    return undefined; // The schema then says that an object was expected; the text itself is never shown.
  }
}
