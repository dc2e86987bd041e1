/** Sends domain events to EventBridge. */
import { EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import { textOf, Unavailable } from '../errors.ts';
import { requestHandler, variable } from '../lambda/config.ts';
import { busVariable } from '../names.ts';
import { eventSource } from './event.ts';
import type { Channel } from './outbox.ts';
import { isContentFault } from './send.ts';

/** https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html */
const batchSizeMax = 10;
/** What the entries of a request may have together. A larger one is asked for alone: the bus knows its limit best. */
const batchBytesMax = 256_000;
/** EventBridge's own faults; any other code says that it does not take the event. */
const serviceFaults = /^(InternalFailure|InternalException|ThrottlingException)$/;

let client: EventBridgeClient | undefined;

const prefix = 'event:';

/** The event bus, as a way out of the outbox. */
export function bus(): Channel {
  const name = variable(busVariable);
  return {
    takes: (destination) => destination.startsWith(prefix),
    send: async (destination, bodies) => {
      client ??= new EventBridgeClient({ requestHandler });
      const event = destination.slice(prefix.length);
      const errors: (Error | undefined)[] = [];
      for (const batch of batchesOf(event, bodies))
        errors.push(...(await put(client, name, event, batch)));
      return errors;
    },
  };
}

function batchesOf(event: string, bodies: readonly string[]): string[][] {
  const batches: string[][] = [];
  let bytes = 0;
  for (const body of bodies) {
    const size = Buffer.byteLength(eventSource + event + body);
    const last = batches.at(-1);
    if (last && last.length < batchSizeMax && bytes + size <= batchBytesMax) {
      last.push(body);
      bytes += size;
    } else {
      batches.push([body]);
      bytes = size;
    }
  }
  return batches;
}

/** Does not throw. Where a request as a whole is refused for what it contains, each event gets one of its own. */
async function put(
  eventBridge: EventBridgeClient,
  EventBusName: string,
  DetailType: string,
  bodies: readonly string[],
): Promise<(Error | undefined)[]> {
  const Entries = bodies.map((Detail) => ({
    EventBusName,
    Source: eventSource,
    DetailType,
    Detail,
  }));
  try {
    const { Entries: results = [] } = await eventBridge.send(new PutEventsCommand({ Entries }));
    return bodies.map((_, index) => {
      const { EventId, ErrorCode = 'no code', ErrorMessage = 'no message' } = results[index] ?? {};
      if (EventId) return undefined;
      const why = `${ErrorCode}: ${ErrorMessage}`;
      return serviceFaults.test(ErrorCode) ? new Unavailable(why) : new Error(why);
    });
  } catch (error) {
    if (!isContentFault(error)) {
      const unavailable = new Unavailable(textOf(error), { cause: error });
      return bodies.map(() => unavailable);
    }
    if (bodies.length === 1) return [new Error(textOf(error))];
    const errors: (Error | undefined)[] = [];
    for (const body of bodies)
      errors.push(...(await put(eventBridge, EventBusName, DetailType, [body])));
    return errors;
  }
}
