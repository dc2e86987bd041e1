/**
 * Makes the mutations of one module, one at a time, and runs its tests with each; in one process, which keeps all else
 * that it has read. Writes a line of JSON for each: where, and whether a test failed. The arguments are the module and
 * the number of the first mutation: test/mutants/run.ts starts this again after one that never ends.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createVitest } from 'vitest/node';
import { root } from '../../local/root.ts';
import { modules } from './modules.ts';
import { mutated, mutationsOf } from './mutations.ts';

const [, , module = '', first = '0'] = process.argv;
const file = join(root, module);
const text = readFileSync(file, 'utf8');
const tests = modules[module] ?? [];
let shown = text;

const vitest = await createVitest(
  'test',
  {
    ...{ root, config: false, watch: false, include: [...tests], reporters: [{}] },
    ...{ pool: 'threads', maxWorkers: 1, bail: 1, testTimeout: 10_000, env: { TZ: 'Asia/Shanghai' } },
  },
  {
    plugins: [
      { name: 'mutant', enforce: 'pre', load: (id) => (id === file ? shown : undefined) },
    ],
  },
);
const specifications = await vitest.globTestSpecifications();
if (specifications.length !== tests.length) throw new Error(`${module}: not all tests are there.`);

async function fails(code: string): Promise<boolean> {
  shown = code;
  vitest.invalidateFile(file);
  const { testModules, unhandledErrors } = await vitest.runTestSpecifications(specifications);
  return unhandledErrors.length > 0 || testModules.some((one) => !one.ok());
}

if (await fails(text)) throw new Error(`${module}: its tests fail without a mutation.`);
for (const [index, mutation] of mutationsOf(text).entries()) {
  if (index < Number(first)) continue;
  const { line, before, after } = mutation;
  console.log(JSON.stringify({ index, line, before, after, begun: true }));
  const found = await fails(mutated(text, mutation));
  console.log(JSON.stringify({ index, line, before, after, found }));
}
await vitest.close();
process.exit();
