import { isId } from '../../platform/ids.ts';
import { type OutboxEntry, toQueue } from '../../platform/messaging/outbox.ts';
import { brokerEvents, flags, idsPerMessageMax, type Source } from '../queues.ts';

/** Ids in as few messages as they fit, without those that no message may carry. */
export function messagesFor(source: Source, all: readonly string[]): OutboxEntry[] {
  const ids = all.filter(isId);
  const messages: OutboxEntry[] = [];
  for (let start = 0; start < ids.length; start += idsPerMessageMax) {
    const broker_ids = ids.slice(start, start + idsPerMessageMax).join(',');
    messages.push(toQueue(brokerEvents, { broker_ids, flag: flags.updated, source }));
  }
  return messages;
}
