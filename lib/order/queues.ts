import * as z from 'zod';
import { Id } from '../platform/ids.ts';
import { queue } from '../platform/messaging/queue.ts';

/** Says no more than that an order has pushes to send. */
export const OrderPushes = z.object({ order_id: Id });
export type OrderPushes = z.infer<typeof OrderPushes>;

export const pushesToSend = queue('order/push-change', OrderPushes);
