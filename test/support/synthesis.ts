import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { App, type AppProps } from 'aws-cdk-lib';
import { inject } from 'vitest';
import { functionIds } from '../../infra/constructs/bundle.ts';

/**
 * An app of which a test reads the templates. CDK's own check of them takes most of a synthesis' time, so it runs only
 * in the contexts that test/infra/cloud.test.ts checks; those contain every resource that any context has.
 */
export const appNamed = (name: string, context: AppProps['context'], { checked = false } = {}) =>
  new App({
    outdir: join(inject('dir'), name.replaceAll(' ', '-')),
    context: context ?? {},
    builtinCloudFormationValidation: checked,
  });

let made: string | undefined;

/**
 * A folder with a bundle of one comment for each function: a template says of a function's code no more than its hash,
 * and real bundles take seconds to make. test/infra/bundle.test.ts looks at those, and the system tests deploy them.
 */
export function emptyBundles(): string {
  made ??= makeIn(join(inject('dir'), `empty-bundles-${process.pid}`));
  return made;
}

function makeIn(folder: string): string {
  for (const id of functionIds()) {
    mkdirSync(join(folder, id), { recursive: true });
    writeFileSync(join(folder, id, 'index.mjs'), `// ${id}\n`);
  }
  return folder;
}
