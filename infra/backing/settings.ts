/** The configuration documents in Systems Manager. */
import type { Stack } from 'aws-cdk-lib';
import { StringParameter } from 'aws-cdk-lib/aws-ssm';
import type { Context } from '../constructs/context.ts';
import { documents } from '../constructs/documents.ts';
import { settingsName } from '../constructs/names.ts';

/** Each document of config/ as a parameter of Systems Manager. */
export function settings(stack: Stack, context: Context): void {
  for (const [domain, stringValue] of documents(context))
    new StringParameter(stack, `settings/${domain}`, {
      parameterName: settingsName(context.stage, domain),
      stringValue,
    });
}
