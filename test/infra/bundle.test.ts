import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, inject, test } from 'vitest';
import { bundle, functionIds } from '../../infra/constructs/bundle.ts';
import { ceilingOf } from '../../infra/constructs/ceilings.ts';

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
