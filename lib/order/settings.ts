import * as z from 'zod';

/** config/order.json. */
export const OrderSettings = z.strictObject({
  /** Where the push service ("Singer") is. */
  singer_url: z.url({ protocol: /^https?$/ }),
});
export type OrderSettings = z.infer<typeof OrderSettings>;
