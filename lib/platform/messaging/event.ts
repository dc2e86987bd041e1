/** A domain event as one value: name and schema. */
import type * as z from 'zod';

/** What names and infrastructure need to know of an event, whatever it says. */
export interface EventName {
  /** `<domain>/<what-happened>`, as `member/changed`. */
  readonly event: `${string}/${string}`;
}

/** A domain event on the bus and its body: ids and versions, never personal data. */
export interface BusEvent<Body, Sent = Body> extends EventName {
  readonly schema: z.ZodType<Body, Sent>;
}

/** Others hear of it through a queue of their own (`hear` in infra/); the queue's body is the event's body. */
export function event<Body, Sent>(
  name: EventName['event'],
  schema: z.ZodType<Body, Sent>,
): BusEvent<Body, Sent> {
  return { event: name, schema };
}

/** The `source` of all our events on EventBridge; the name is their `detail-type`. */
export const eventSource = 'signalbox';
