import { isId } from '../../platform/ids.ts';
import { type FollowUp, toQueue } from '../../platform/messaging/outbox.ts';
import { brokerEvents, flags, idsPerMessageMax, type Source } from '../queues.ts';

/** Ids in as few messages as they fit, without those that no message may carry. */
export function messagesFor(source: Source, all: readonly string[]): FollowUp[] {
  const ids = all.filter(isId);
  const messages: FollowUp[] = [];
  for (let start = 0; start < ids.length; start += idsPerMessageMax) {
    const broker_ids = ids.slice(start, start + idsPerMessageMax).join(',');
    messages.push(toQueue(brokerEvents, { broker_ids, flag: flags.updated, source }));
  }
  return messages;
}
