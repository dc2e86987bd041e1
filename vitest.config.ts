import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { recordedSeconds } from './test/support/test-times.ts';

/**
 * Starts the longest files first, by docs/test-times.md; a file that is not listed there comes before all others.
 * Tests of the deployed stack run one at a time, and the first waits for the deploy: they are spread among the others,
 * or they would wait in all workers.
 */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const seconds = recordedSeconds(readFileSync('docs/test-times.md', 'utf8'));
    const secondsOf = ({ moduleId }: TestSpecification) =>
      seconds.get(relative(import.meta.dirname, moduleId)) ?? Number.POSITIVE_INFINITY;
    const sorted = await super.sort(files);
    const longestFirst = sorted.toSorted((a, b) => secondsOf(b) - secondsOf(a) || 0);
    const usesStack = ({ project }: TestSpecification) =>
      project.name === 'system' || project.name === 'deployed';
    const order = longestFirst.filter((file) => !usesStack(file));
    const stack = longestFirst.filter(usesStack);
    const apart = Math.ceil(order.length / (stack.length + 1)) + 1;
    for (const [index, file] of stack.entries()) order.splice(index * apart + firstOthers, 0, file);
    return order;
  }
}

/** Other files that start before the first that needs the deployed stack. */
const firstOthers = 6;

/** Tests that need no servers, or ask for the few that they need themselves, as the simulation does for a MySQL. */
const withoutServers = [
  'test/{ops-documents,ops-inputs,structure,test-times,words}.test.ts',
  'test/{infra,simulation}/*.test.ts',
  'test/broker/{apply-in-halves,event-messages,form-body,query-micro-shops,queues}.test.ts',
  'test/call/{allocation,broker-phone-rows,charge-states,desired-state,filter-rules}.test.ts',
  'test/call/{history-rows,k3,queues}.test.ts',
  'test/local/{ports,processes,simulators,stack,upstash}.test.ts',
  'test/order/{decode-events,former-rows,indirect-writes,new-push,push-expiry,push-log-entries}.test.ts',
  'test/order/{raw-events,scenarios,singer,statement-targets,statements}.test.ts',
  'test/order/{transaction-events,transactions}.test.ts',
  'test/platform/{by-hand,characters,colons,content-decoding,cut,described,errors,fields,ids}.test.ts',
  'test/platform/{json,mask,partner,refusal,request,route,schedule,signature-in,time,tls}.test.ts',
];

/** A project that names set-up files does not get those of the whole run: each names this one. */
const logFile = 'test/support/log-file.ts';

/** As many as keep two cores busy while a system test waits for a schedule or a visibility timeout. */
const maxWorkers = 3;

/**
 * A server starts when the first file that needs it asks for it. Component tests have a MySQL for each worker; tests of
 * the deployed stack run one at a time beside them. At the end all logs are searched for what must not be in a log.
 */
export default defineConfig({
  test: {
    globalSetup: 'test/support/servers.ts',
    pool: 'forks',
    maxWorkers,
    sequence: { sequencer: LongestFirst },
    testTimeout: 60_000,
    hookTimeout: 120_000,
    env: { TZ: 'Asia/Shanghai' }, // As deployed functions have it.
    projects: [
      {
        extends: true,
        test: { name: 'alone', include: withoutServers, setupFiles: logFile },
      },
      {
        extends: true,
        test: {
          name: 'component',
          include: ['test/**/*.test.ts'],
          exclude: [...withoutServers, 'test/{ops,system}/**', 'test/logs.test.ts'],
          setupFiles: [logFile, 'test/support/environment.ts'],
        },
      },
      {
        extends: true,
        test: {
          name: 'deployed',
          include: ['test/ops/*.test.ts'],
          setupFiles: [logFile, 'test/support/deployed.ts', 'test/support/one-at-a-time.ts'],
        },
      },
      {
        extends: true,
        test: {
          name: 'system',
          include: ['test/system/**/*.test.ts'],
          setupFiles: [logFile, 'test/support/deployed.ts', 'test/support/one-at-a-time.ts'],
          testTimeout: 120_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'logs',
          include: ['test/logs.test.ts'],
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
