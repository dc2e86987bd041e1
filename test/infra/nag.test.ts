import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { App, Stack, Validations } from 'aws-cdk-lib';
import { Queue } from 'aws-cdk-lib/aws-sqs';
import { AwsSolutionsChecks } from 'cdk-nag';
import { expect, inject, test } from 'vitest';
import { signalbox } from '../../infra/app.ts';
import { sites } from '../support/sites.ts';

interface Violation {
  readonly ruleName: string;
  readonly violatingConstructs: readonly { readonly constructPath: string }[];
}

/** Each finding as the rule's name and the constructs it was found in. */
function findingsIn(app: App): string[][] {
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  const { exitCode } = process;
  try {
    app.synth();
  } catch {
    // What it found stands in the report.
  }
  process.exitCode = exitCode; // The plug-in sets it for the CLI.
  const report = readFileSync(join(app.outdir, 'validation-report.json'), 'utf8');
  const { pluginReports } = JSON.parse(report) as { pluginReports: { violations: Violation[] }[] };
  return pluginReports.flatMap(({ violations }) =>
    violations.map(({ ruleName, violatingConstructs }) => [
      ruleName,
      ...violatingConstructs.map(({ constructPath }) => constructPath),
    ]),
  );
}

const appIn = (name: string, context = {}) =>
  new App({ outdir: join(inject('dir'), `nag-${name}`), context });

test.each(Object.entries(sites))(
  'AwsSolutions finds nothing in %s',
  (name, context) => {
    expect(findingsIn(signalbox(appIn(name, context)))).toEqual([]);
  },
  120_000,
);

test('AwsSolutions is really asked: a bare queue is found', () => {
  const app = appIn('planted');
  new Queue(new Stack(app, 'planted'), 'bare');
  expect(findingsIn(app).map(([rule]) => rule)).toContain('AwsSolutions-SQS4');
}, 60_000);
