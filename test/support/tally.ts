/** One line of what `npm run test:full` and `npm run test:torture` report. */
export interface Figures {
  readonly title: string;
  readonly facts: string;
  readonly good: boolean;
}

/** Counts what passed and what failed outside vitest, and prints each as one line. */
export function newTally() {
  const counts = { passed: 0, failed: 0 };
  return {
    note: ({ good, title, facts }: Figures): void => {
      console.log(`${good ? '✓' : '✗'} ${title}: ${facts}`);
      if (good) counts.passed += 1;
      else counts.failed += 1;
    },
    add: (passed: number, failed: number): void => {
      counts.passed += passed;
      counts.failed += failed;
    },
    /** Prints the line that a caller reads, the last one, and returns the exit status. */
    conclude: (): number => {
      console.log(`${counts.passed} passed, ${counts.failed} failed`);
      return counts.failed ? 1 : 0;
    },
  };
}
