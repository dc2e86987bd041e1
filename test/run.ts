/** `npm test`: types, lint, dead code, then all tests. Ends with `N passed, N failed`. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endWithParents } from '../local/processes.ts';

const root = join(import.meta.dirname, '..');
const only = process.argv.slice(2);
const counts = { passed: 0, failed: 0 };

function run(title: string, file: string, args: readonly string[]): boolean {
  const began = Date.now();
  const { status } = spawnSync(process.execPath, [join(root, 'node_modules', file), ...args], {
    cwd: root,
    stdio: 'inherit',
  });
  console.log(
    `${status === 0 ? '✓' : '✗'} ${title}  ${((Date.now() - began) / 1000).toFixed(1)} s\n`,
  );
  return status === 0;
}

function check(title: string, file: string, args: readonly string[]): void {
  if (run(title, file, args)) counts.passed += 1;
  else counts.failed += 1;
}

endWithParents(() => process.exit(1));
if (!only.length) {
  check('types', 'typescript/bin/tsc', []);
  check('format and lint', '@biomejs/biome/bin/biome', ['ci', '--error-on-warnings', '.']);
  check('dead code', 'knip/bin/knip.js', []);
}

const results = mkdtempSync(join(tmpdir(), 'signalbox-test-'));
const report = join(results, 'report.json');
const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
const passed = run('tests', 'vitest/vitest.mjs', ['run', ...reporters, ...only]);
try {
  const { numPassedTests, numFailedTests } = JSON.parse(readFileSync(report, 'utf8'));
  counts.passed += numPassedTests;
  counts.failed += numFailedTests;
  // A file that could not be loaded, or servers that did not start, fail no single test.
  if (!passed && !numFailedTests) counts.failed += 1;
} catch {
  counts.failed += 1;
}
rmSync(results, { recursive: true, force: true });
console.log(`${counts.passed} passed, ${counts.failed} failed`);
process.exit(counts.failed ? 1 : 0);
