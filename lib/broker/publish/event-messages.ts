/** Builds the messages that have changed ids applied. */
import { isId } from '../../platform/ids.ts';
import { type OutboxEntry, toQueue } from '../../platform/messaging/outbox.ts';
import { brokerEvents, flags, idsPerMessageMax, type Source } from '../queues.ts';

/** Returns the fewest messages that hold these ids. It leaves out ids that no message may carry (0, negative). */
export function messagesFor(source: Source, all: readonly string[]): OutboxEntry[] {
  const ids = all.filter(isId);
  const messages: OutboxEntry[] = [];
  for (let start = 0; start < ids.length; start += idsPerMessageMax) {
    const broker_ids = ids.slice(start, start + idsPerMessageMax).join(',');
    messages.push(toQueue(brokerEvents, { broker_ids, flag: flags.updated, source }));
  }
  return messages;
}
