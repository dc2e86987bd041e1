import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { App, type Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { expect, inject, test } from 'vitest';
import { signalbox } from '../../infra/app.ts';
import { bundle, functionIds } from '../../infra/constructs/bundle.ts';
import { ceilingOf } from '../../infra/constructs/ceilings.ts';
import { root } from '../../local/stack.ts';
import { sites } from '../support/sites.ts';

const outdir = join(inject('dir'), 'bundles');
const { outputs } = bundle(outdir);

/** They are told nothing: they only describe. */
const describing = ['platform/serve-docs', 'platform/serve-openapi'];

test.each(functionIds().filter((id) => !describing.includes(id)))(
  '%s names the variable that is missing in one line when it starts',
  (id) => {
    const program = `import(${JSON.stringify(join(outdir, id, 'index.mjs'))}).catch(({ message }) => { console.error(message); process.exit(1); })`;
    const { status, stderr } = spawnSync(process.execPath, ['-e', program], {
      encoding: 'utf8',
      env: {},
    });
    expect(stderr).toMatch(/^The variable (SECRET|QUEUE|SETTINGS)_[A-Z_]+ is missing: .*\n$/);
    expect(status).toBe(1);
  },
);

test('no bundle is over the ceiling of its kind', () => {
  const sizes = Object.entries(outputs).map(([file, { bytes, inputs }]) => {
    const { kind, bytesMax } = ceilingOf(Object.keys(inputs));
    return { file, kind, bytes, over: bytes > bytesMax };
  });
  expect(sizes).toHaveLength(functionIds().length);
  expect(sizes.filter(({ over }) => over)).toEqual([]);
});

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
  const app = signalbox(new App({ outdir: join(inject('dir'), 'named'), context: sites.cloud }));
  const platform = app.node.findChild('platform') as Stack;
  const resources = Template.fromStack(platform).findResources(
    'AWS::CloudFormation::CustomResource',
  );
  const [{ Properties }] = Object.values(resources) as [{ Properties: Record<string, unknown> }];
  expect(Properties['migrations']).toEqual(named);
  expect(JSON.stringify(Properties)).not.toMatch(/create table|alter table|insert into/i);
}, 120_000);
