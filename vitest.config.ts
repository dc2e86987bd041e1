import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** The simulation takes longest and goes first, or all others wait for it at the end. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isLong = ({ moduleId }: TestSpecification) => moduleId.includes('/test/simulation/');
    const sorted = await super.sort(files);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

/**
 * Component tests share the servers of one stack, with a MySQL for each worker. System tests run alone after them; at
 * the end all that was logged is searched for what must not be in a log.
 */
export default defineConfig({
  test: {
    globalSetup: 'test/support/servers.ts',
    pool: 'forks',
    sequence: { sequencer: LongestFirst },
    testTimeout: 60_000,
    hookTimeout: 120_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'component',
          include: ['test/**/*.test.ts'],
          exclude: ['test/system/**', 'test/logs.test.ts'],
          setupFiles: 'test/support/environment.ts',
          maxWorkers: 3, // As many MySQLs as test/support/servers.ts starts.
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'system',
          include: ['test/system/**/*.test.ts'],
          testTimeout: 120_000,
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'logs',
          include: ['test/logs.test.ts'],
          maxWorkers: 1,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
