import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { expect, inject, test } from 'vitest';
import { signalbox } from '../../infra/app.ts';
import { bundle, functionIds } from '../../infra/constructs/bundle.ts';
import { ceilingOf } from '../../infra/constructs/ceilings.ts';
import { root } from '../../local/root.ts';
import { sites } from '../support/sites.ts';
import { appNamed, emptyBundles } from '../support/synthesis.ts';

const outdir = join(inject('dir'), 'bundles');
const { outputs } = bundle(outdir);
const { messages, stderr } = startedWithoutVariables();

/** They are told nothing: they only describe. */
const describing = ['platform/serve-docs', 'platform/serve-openapi'];

test.each(functionIds().filter((id) => !describing.includes(id)))(
  '%s names the variable that is missing in one line when it starts',
  (id) => {
    expect(messages[id]).toMatch(/^The variable (SECRET|QUEUE|SETTINGS)_[A-Z_]+ is missing: .*$/);
  },
);

test('nothing else is printed when they start', () => {
  expect(stderr).toBe('');
});

test('no bundle is over the ceiling of its kind', () => {
  const sizes = Object.entries(outputs).map(([file, { bytes, inputs }]) => {
    const { kind, bytesMax } = ceilingOf(Object.keys(inputs));
    return { file, kind, bytes, over: bytes > bytesMax };
  });
  expect(sizes).toHaveLength(functionIds().length);
  expect(sizes.filter(({ over }) => over)).toEqual([]);
});

/** Imports all bundles, one after the other, in one process without a single variable: why each of them fails. */
function startedWithoutVariables(): { messages: Record<string, string>; stderr: string } {
  const files = functionIds().map((id) => [id, join(outdir, id, 'index.mjs')]);
  const program = `
    const messages = {};
    for (const [id, file] of ${JSON.stringify(files)})
      await import(file).catch(({ message }) => { messages[id] = message; });
    process.stdout.write(JSON.stringify(messages), () => process.exit());`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    env: {},
  });
  return { messages: JSON.parse(stdout), stderr };
}

test('the bundle of platform/migrate holds the migrations, and its deploy names them by their hashes only', () => {
  const held = join(outdir, 'platform/migrate/migrations');
  const files = readdirSync(join(root, 'migrations')).toSorted();
  expect(readdirSync(held).toSorted()).toEqual(files);
  const named = files.map((name) => ({
    name,
    sha256: createHash('sha256')
      .update(readFileSync(join(held, name)))
      .digest('hex'),
  }));
  const app = signalbox(appNamed('named', sites.cloud), emptyBundles());
  const platform = app.node.findChild('platform') as Stack;
  const resources = Template.fromStack(platform).findResources(
    'AWS::CloudFormation::CustomResource',
  );
  const [{ Properties }] = Object.values(resources) as [{ Properties: Record<string, unknown> }];
  expect(Properties['migrations']).toEqual(named);
  expect(JSON.stringify(Properties)).not.toMatch(/create table|alter table|insert into/i);
}, 120_000);
