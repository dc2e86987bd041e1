import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from '../local/root.ts';

/** Words that CONTRIBUTING replaces by those of the field. */
const banned =
  /\b(?:nudg\w*|mend(?:s|ed|ing)?|in hand|puts? off|putting off|sets? aside|puts? away|gone on with|goes on|for ever|anew|stands|lies|behind|away|none of ours|so (?:long|many|often)|he|his)\b/gi;

/** Names of states, columns, inputs, alarms and scenarios that others read, and words in their common meaning. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  'CONTRIBUTING.md': ['…'], // The list of the words itself.
};

const pages = [
  ...globSync('{lib,functions,infra,ops,local,bench}/**/*.{ts,mjs}', { cwd: root }),
  ...globSync('{*,docs/**/*}.md', { cwd: root }),
].filter((path) => !/^(?:CONTRIBUTING|docs\/(?:bug-bank|test-times))\.md$/.test(path));

test('no source or document has a word that CONTRIBUTING replaces, but for names that others read', () => {
  expect(pages.length).toBeGreaterThan(300);
  const found = pages.flatMap((path) => {
    const words = new Set(readFileSync(join(root, path), 'utf8').toLowerCase().match(banned));
    return [...words.difference(new Set(allowed[path]))].map((word) => `${path}: ${word}`);
  });
  expect(found).toEqual([]);
});
