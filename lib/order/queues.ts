/** Queues of the order domain and the schemas of their messages. */
import * as z from 'zod';
import { Id } from '../platform/ids.ts';
import { queue } from '../platform/messaging/queue.ts';

/** Triggers sending: the order has unsent pushes. */
export const OrderPushes = z.object({ order_id: Id });
export type OrderPushes = z.infer<typeof OrderPushes>;

export const pushesToSend = queue('order/push-change', OrderPushes);
