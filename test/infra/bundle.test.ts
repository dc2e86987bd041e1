import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, inject, test } from 'vitest';
import { bundle, functionIds } from '../../infra/constructs/bundle.ts';
import { ceilingOf } from '../../infra/constructs/ceilings.ts';

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
