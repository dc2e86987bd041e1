/** A queue as one value: id and schema. */
import type * as z from 'zod';
import type { Id } from '../names.ts';

/** What names and infrastructure need to know of a queue, whatever it carries. */
export interface QueueName<Name extends Id = Id> {
  /** The id of the one function that drains it. */
  readonly id: Name;
}

/** A queue and its messages: one value for sender, consumer, infrastructure and tests. */
export interface Queue<Message, Sent = Message, Name extends Id = Id> extends QueueName<Name> {
  /** Parses a body (`Sent`, as JSON) into what the consumer works with (`Message`). */
  readonly schema: z.ZodType<Message, Sent>;
}

/** Every queue is a standard SQS queue: messages may come twice, late and in any order. */
export function queue<Message, Sent, const Name extends Id>(
  id: Name,
  schema: z.ZodType<Message, Sent>,
): Queue<Message, Sent, Name> {
  return { id, schema };
}

/** Where a message goes that can never succeed; it carries its reason as an attribute. */
export const deadLetterOf = ({ id }: QueueName): QueueName => ({ id: `${id}/dead` });
