import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, inject, test } from 'vitest';
import { bundle, functionIds } from '../../infra/constructs/bundle.ts';

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

/** What makes a bundle heavy, by the libraries in it; the first kind that holds counts. */
const ceilings: readonly [kind: string, holds: RegExp | undefined, bytesMax: number][] = [
  ['any', /node_modules\/(undici|@upstash|@opensearch-project|@vlasky|jose)\//, 1_500_000],
  ['with MySQL', /node_modules\/mysql2\//, 1_000_000],
  ['with SQS', /node_modules\/@aws-sdk\//, 480_000],
  ['that only describes', undefined, 200_000], // docs/decisions/0004-bundles.md
];

test('no bundle is over the ceiling of its kind', () => {
  const sizes = Object.entries(outputs).map(([file, { bytes, inputs }]) => {
    const [kind, , bytesMax] =
      ceilings.find(
        ([, holds]) => !holds || Object.keys(inputs).some((input) => holds.test(input)),
      ) ??
      ceilings[0] ??
      [];
    return { file, kind, bytes, over: bytes > (bytesMax ?? 0) };
  });
  expect(sizes).toHaveLength(functionIds().length);
  expect(sizes.filter(({ over }) => over)).toEqual([]);
});
