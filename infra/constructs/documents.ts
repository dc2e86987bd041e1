/** The configuration documents, checked at synth. */
import { globSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as z from 'zod';
import { BrokerSettings } from '../../lib/broker/settings.ts';
import { CallSettings } from '../../lib/call/settings.ts';
import { OrderSettings } from '../../lib/order/settings.ts';
import { PlatformSettings } from '../../lib/platform/settings.ts';

/**
 * The schemas of the configuration documents. They are strict here, at synth; functions ignore unknown fields.
 */
export const documentSchemas: Readonly<Record<string, z.ZodType>> = {
  broker: BrokerSettings,
  call: CallSettings,
  order: OrderSettings,
  platform: PlatformSettings,
};

const folder = fileURLToPath(new URL('../../config/', import.meta.url));

/**
 * Returns the documents of config/ as text, by domain. `given` are fields that the context overrides: partners'
 * addresses, and limits that differ between stages. Throws an error that names what is wrong with a document.
 */
export function documents(
  given: Readonly<Record<string, unknown>>,
): [domain: string, text: string][] {
  return globSync('*.json', { cwd: folder }).map((file) => {
    const domain = basename(file, '.json');
    const schema = documentSchemas[domain];
    if (!schema)
      throw new Error(`config/${file} has no schema: name one in infra/constructs/documents.ts.`);
    const document = { ...JSON.parse(readFileSync(folder + file, 'utf8')) };
    for (const field of Object.keys(document))
      if (given[field] !== undefined) document[field] = given[field];
    const { error } = schema.safeParse(document);
    if (error) throw new Error(`config/${file} is not valid:\n${z.prettifyError(error)}`);
    const unset = Object.keys(document).find((field) => /\.invalid\b/.test(document[field]));
    if (unset && given['stage'] === 'cloud')
      throw new Error(
        `config/${file}: ${unset} is not set. Write it there, or give it as context.`,
      );
    return [domain, JSON.stringify(document)];
  });
}
