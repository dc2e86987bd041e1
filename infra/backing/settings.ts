import { globSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Stack } from 'aws-cdk-lib';
import { StringParameter } from 'aws-cdk-lib/aws-ssm';
import type { ZodType } from 'zod';
import { BrokerSettings } from '../../lib/broker/settings.ts';
import { PlatformSettings } from '../../lib/platform/settings.ts';
import type { Context } from '../constructs/context.ts';
import { settingsName } from '../constructs/names.ts';

/** The configuration documents and what each must look like: checked here, at synth, and by each function. */
const documents: Record<string, ZodType> = { broker: BrokerSettings, platform: PlatformSettings };

/** Each document of config/ as a parameter of Systems Manager. */
export function settings(stack: Stack, { stage }: Context): void {
  for (const [domain, text] of documentsIn(folder))
    new StringParameter(stack, `settings/${domain}`, {
      parameterName: settingsName(stage, domain),
      stringValue: text,
    });
}

const folder = fileURLToPath(new URL('../../config/', import.meta.url));

function documentsIn(folder: string): [domain: string, text: string][] {
  return globSync('*.json', { cwd: folder }).map((file) => {
    const domain = basename(file, '.json');
    const schema = documents[domain];
    if (!schema)
      throw new Error(`config/${file} has no schema: name one in infra/backing/settings.ts.`);
    const document: unknown = JSON.parse(readFileSync(folder + file, 'utf8'));
    const { error } = schema.safeParse(document);
    if (error) throw new Error(`config/${file} is not valid: ${error.message}`);
    return [domain, JSON.stringify(document)];
  });
}
