import { defineConfig } from 'vitest/config';

/** The tests of modules without I/O, as Stryker runs them: no server, no set-up, nothing but the tests. */
export default defineConfig({
  test: {
    include: [
      'test/broker/{forms,messages,parts,questions,queues}.test.ts',
      'test/call/{allocation,broker-phone-rows,filter,history-rows,queues,standing,states}.test.ts',
      'test/order/{changes,decoding,former-rows,indirect-writes,lateness,raw-events}.test.ts',
      'test/order/{scenarios,statement-targets,statements,success}.test.ts',
      'test/order/{transaction-events,transactions}.test.ts',
      'test/platform/{characters,colons,cut,decoding,described,errors,fields,ids,json,mask}.test.ts',
      'test/platform/{refusal,request,route,signature-in,time}.test.ts',
    ],
    env: { TZ: 'Asia/Shanghai' }, // As deployed functions have it.
  },
});
