import { defineConfig } from 'vitest/config';

/** The tests of modules without I/O, as Stryker runs them: no server, no set-up, nothing but the tests. */
export default defineConfig({
  test: {
    include: [
      'test/broker/{apply-in-halves,event-messages,form-body,query-micro-shops,queues}.test.ts',
      'test/call/{allocation,broker-phone-rows,charge-states,desired-state,filter-rules}.test.ts',
      'test/call/{history-rows,queues}.test.ts',
      'test/order/{decode-events,former-rows,indirect-writes,new-push,push-expiry}.test.ts',
      'test/order/{push-log-entries,raw-events,scenarios,statement-targets,statements}.test.ts',
      'test/order/{transaction-events,transactions}.test.ts',
      'test/platform/{characters,colons,content-decoding,cut,described,errors,fields,ids,json}.test.ts',
      'test/platform/mask.test.ts',
      'test/platform/{refusal,request,route,signature-in,time}.test.ts',
    ],
    env: { TZ: 'Asia/Shanghai' }, // As deployed functions have it.
  },
});
