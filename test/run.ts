/**
 * `npm test [-- path …]`: types, lint, dead code, then all tests or those whose path contains one of the words.
 * `--record-times` writes docs/test-times.md. Ends with `N passed, N failed`.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endWithParents } from '../local/processes.ts';
import type { Results } from './support/result-reporter.ts';
import { runVariables } from './support/run-variables.ts';
import { fileSecondsMax, slowest, tooSlow, withTimes } from './support/test-times.ts';

const root = join(import.meta.dirname, '..');
const timesPage = join(root, 'docs/test-times.md');
const args = process.argv.slice(2);
const recordsTimes = args.includes('--record-times');
const only = args.filter((arg) => arg !== '--record-times');
const counts = { passed: 0, failed: 0 };
const env: NodeJS.ProcessEnv = {
  ...process.env,
  NODE_COMPILE_CACHE: join(root, 'node_modules/.cache/compiled'),
};

function run(title: string, file: string, fileArgs: readonly string[]): boolean {
  const began = Date.now();
  const { status } = spawnSync(process.execPath, [join(root, 'node_modules', file), ...fileArgs], {
    cwd: root,
    env,
    stdio: 'inherit',
  });
  console.log(
    `${status === 0 ? '✓' : '✗'} ${title}  ${((Date.now() - began) / 1000).toFixed(1)} s\n`,
  );
  return status === 0;
}

function check(title: string, file: string, fileArgs: readonly string[]): void {
  if (run(title, file, fileArgs)) counts.passed += 1;
  else counts.failed += 1;
}

/** Prints the slowest files and counts those that took too long as failures. */
function judgeTimes({ times }: Results): void {
  const page = readFileSync(timesPage, 'utf8');
  console.log(`The slowest files:\n${slowest(times)}\n`);
  for (const { file, seconds } of tooSlow(times, page)) {
    counts.failed += 1;
    console.log(
      `✗ ${file} took ${seconds.toFixed(1)} s of ${fileSecondsMax}: make it faster, or name it in docs/test-times.md with the reason (on a slow machine the limit is higher).\n`,
    );
  }
  if (recordsTimes) writeFileSync(timesPage, withTimes(page, times));
}

if (recordsTimes && only.length) {
  console.error('--record-times is for a run of all tests: name no path.');
  process.exit(2);
}
endWithParents(() => process.exit(1));
if (!only.length) {
  check('types', 'typescript/bin/tsc', []);
  check('format and lint', '@biomejs/biome/bin/biome', ['ci', '--error-on-warnings', '.']);
  check('dead code', 'knip/bin/knip.js', []);
}

const results = mkdtempSync(join(tmpdir(), 'signalbox-test-'));
const report = join(results, 'results.json');
env[runVariables.results] = report;
if (!only.length) env[runVariables.whole] = 'yes';
const reporters = ['--reporter=default', '--reporter=./test/support/result-reporter.ts'];
const passed = run('tests', 'vitest/vitest.mjs', ['run', ...reporters, ...only]);
try {
  const read = JSON.parse(readFileSync(report, 'utf8')) as Results;
  counts.passed += read.passed;
  counts.failed += read.failed;
  judgeTimes(read);
  // A file that could not be loaded, or servers that did not start, fail no single test.
  if (!passed && !read.failed) counts.failed += 1;
} catch (error) {
  counts.failed += 1;
  console.error('The results of the tests cannot be read:', error);
}
rmSync(results, { recursive: true, force: true });
console.log(`${counts.passed} passed, ${counts.failed} failed`);
process.exit(counts.failed ? 1 : 0);
