import * as z from 'zod';
import { queue } from '../platform/queue.ts';

const Id = z.union([z.int().positive().transform(String), z.string().regex(/^[1-9]\d{0,18}$/)]);

/** Says no more than that an order has pushes to send. */
export const OrderPushes = z.object({ order_id: Id });
export type OrderPushes = z.infer<typeof OrderPushes>;

export const pushesToSend = queue('order/push-change', OrderPushes);
