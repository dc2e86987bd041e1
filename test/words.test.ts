import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from '../local/root.ts';

/** Words that CONTRIBUTING replaces by those of the field. */
const banned =
  /\b(?:nudg\w*|mend(?:s|ed|ing)?|in hand|puts? off|putting off|sets? aside|puts? away|gone on with|goes on|for ever|anew|stands|lies|behind|away|none of ours|so (?:long|many|often)|he|his)\b/gi;

/** Names of states, columns, inputs, alarms and scenarios that others read, and words in their common meaning. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  'docs/decisions/0073-letters-in-flight.md': ['behind'],
  'docs/glossary.md': ['in hand'],
  'docs/order.md': ['in hand'],
  'docs/promises.md': ['away'],
  'docs/runbooks/README.md': ['behind'],
  'docs/runbooks/binlog-behind.md': ['behind'],
  'docs/runbooks/binlog-lost.md': ['behind'],
  'docs/runbooks/outbox-refused.md': ['so many'],
  'docs/runbooks/pushes-waiting.md': ['behind'],
  'docs/simulation.md': ['away'],
  'infra/order.ts': ['behind'],
  'lib/broker/inputs.ts': ['anew'],
  'lib/broker/publish/publish-all.ts': ['anew'],
  'lib/order/binlog/check-binlog.ts': ['behind'],
  'lib/order/push-states.ts': ['in hand'],
  'lib/order/pushes/push-change.ts': ['in hand'],
  'lib/order/pushes/push-lease.ts': ['in hand'],
  'lib/platform/lambda/config.ts': ['stands'],
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
