import { writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import type { Reporter, TestModule } from 'vitest/node';
import { root } from '../../local/root.ts';
import { runVariables } from './run-variables.ts';
import type { FileTime } from './test-times.ts';

export interface Results {
  readonly passed: number;
  readonly failed: number;
  readonly times: readonly FileTime[];
}

/**
 * Writes how many tests passed and failed, and how long each file took: loading its modules and running its tests,
 * without the set-up, in which it may wait for a server.
 */
// biome-ignore lint/style/noDefaultExport: vitest loads a reporter by its default export.
export default class ResultReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const file = process.env[runVariables.results];
    if (!file) return;
    const tests = modules.flatMap(({ children }) => [...children.allTests()]);
    const inState = (state: string) => tests.filter((test) => test.result().state === state).length;
    const results: Results = {
      passed: inState('passed'),
      failed: inState('failed'),
      times: modules.map((module) => {
        const { collectDuration, duration } = module.diagnostic();
        const seconds = (collectDuration + duration) / 1000;
        return { file: relative(root, module.moduleId), seconds };
      }),
    };
    writeFileSync(file, JSON.stringify(results));
  }
}
