/** Domain events of the order domain. */
import * as z from 'zod';
import { event } from '../platform/messaging/event.ts';

/** The push service has accepted a push. */
const OrderPushed = z.object({
  push_id: z.string(),
  order_id: z.string(),
  scenario: z.int(),
});
export const orderPushed = event('order/pushed', OrderPushed);
