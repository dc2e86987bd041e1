import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type App, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';

interface Violation {
  readonly ruleName: string;
  readonly violatingConstructs: readonly { readonly constructPath: string }[];
}

/** What AwsSolutions finds: each as the rule's name and the constructs it was found in. */
export function findingsIn(app: App): string[][] {
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
