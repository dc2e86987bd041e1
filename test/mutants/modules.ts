/** Modules without I/O, each with the tests that must find what is wrong in it. */
export const modules: Readonly<Record<string, readonly string[]>> = {
  'lib/call/allocation.ts': ['test/call/allocation.test.ts'],
  'lib/call/filter.ts': ['test/call/filter.test.ts'],
  'lib/call/phones.ts': ['test/call/filter.test.ts'],
  'lib/call/standing.ts': ['test/call/standing.test.ts'],
  'lib/order/changes.ts': ['test/order/changes.test.ts'],
  'lib/order/lateness.ts': ['test/order/lateness.test.ts'],
  'lib/order/scenarios.ts': ['test/order/scenarios.test.ts'],
  'lib/order/statements.ts': ['test/order/statements.test.ts'],
  'lib/order/transactions.ts': ['test/order/transactions.test.ts'],
  'lib/platform/cut.ts': ['test/platform/cut.test.ts'],
  'lib/platform/mask.ts': ['test/platform/mask.test.ts'],
  'lib/platform/time.ts': ['test/platform/time.test.ts'],
};
