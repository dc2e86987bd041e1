import { SSMProvider } from '@aws-lambda-powertools/parameters/ssm';
import type * as z from 'zod';
import { Unavailable } from './errors.ts';
import { settingsVariable } from './names.ts';

/** Reads a variable at cold start. Throws one line that names the one that is missing. */
export function variable(name: string): string {
  const value = process.env[name];
  if (value) return value;
  throw new Error(
    `The variable ${name} is missing: name what it stands for in \`uses\` or \`sends\` of this function in infra/.`,
  );
}

/** An invalid value as one line per field: `broker_ids: Invalid input: expected string`. */
export const issuesOf = ({ issues }: z.ZodError): string =>
  issues
    .map(({ path, message }) => (path.length ? `${path.join('.')}: ${message}` : message))
    .join('; ');

const maxAgeSeconds = 60;
let ssm: SSMProvider | undefined;

/** A domain's configuration document (config/<domain>.json), read again when it is a minute old. */
export function settings<Settings>(
  domain: string,
  schema: z.ZodType<Settings>,
): () => Promise<Settings> {
  const name = variable(settingsVariable(domain));
  return async () => {
    ssm ??= new SSMProvider();
    const text = await ssm.get(name, { maxAge: maxAgeSeconds }).catch((cause) => {
      throw new Unavailable(`The parameter ${name} cannot be read.`, { cause });
    });
    if (!text) throw new Unavailable(`The parameter ${name} is empty: deploy again.`);
    const document = schema.safeParse(JSON.parse(text));
    if (document.success) return document.data;
    throw new Unavailable(`The parameter ${name} is not valid: ${issuesOf(document.error)}`);
  };
}
