/** What test/run.ts tells vitest's processes through the environment. */
export const runVariables = {
  /** The file to which the results are written. */
  results: 'SIGNALBOX_TEST_RESULTS',
  /** Set when all tests are run. */
  whole: 'SIGNALBOX_TEST_WHOLE',
} as const;
