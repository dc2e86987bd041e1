import { EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import { requestHandler, variable } from './config.ts';
import { eventSource } from './event.ts';
import { busVariable } from './names.ts';
import type { Channel } from './outbox.ts';

/** https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html */
const batchSizeMax = 10;

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
      for (let start = 0; start < bodies.length; start += batchSizeMax)
        errors.push(...(await put(client, name, event, bodies.slice(start, start + batchSizeMax))));
      return errors;
    },
  };
}

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
  const { Entries: results = [] } = await eventBridge.send(new PutEventsCommand({ Entries }));
  return bodies.map((_, index) => {
    const { EventId, ErrorCode, ErrorMessage } = results[index] ?? {};
    return EventId ? undefined : new Error(`${ErrorCode}: ${ErrorMessage ?? 'no message'}`);
  });
}
