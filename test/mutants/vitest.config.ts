import { defineConfig } from 'vitest/config';

/** The tests of modules without I/O, as Stryker runs them: no server, no set-up, nothing but the tests. */
export default defineConfig({
  test: {
    include: [
      'test/call/{allocation,filter,standing}.test.ts',
      'test/order/{changes,former-rows,indirect-writes,lateness,scenarios}.test.ts',
      'test/order/{statement-targets,statements,transaction-events,transactions}.test.ts',
      'test/platform/{cut,mask,time}.test.ts',
    ],
    env: { TZ: 'Asia/Shanghai' }, // As deployed functions have it.
  },
});
