/** Queues, each with its dead-letter queue. */
import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import { Queue as SqsQueue } from 'aws-cdk-lib/aws-sqs';
import { deadLetterOf, type QueueName } from '../../lib/platform/messaging/queue.ts';
import { resourceName } from '../../lib/platform/names.ts';
import type { Domain } from './synthesis.ts';

const retention = Duration.days(14);
const deadRetention = Duration.days(14);
/**
 * SQS's own limit of deliveries catches only crashes and time-outs: consumers dead-letter messages themselves, with a
 * reason, much earlier. With the pauses of lib/platform/messaging/visibility.ts this many deliveries take as long as
 * the retention.
 */
const receivesMax = 1_000;

/** Returns the queue with this id; creates it and its dead-letter queue at the first call in its domain. */
export function queueIn(stack: Domain, { id }: QueueName): SqsQueue {
  const [domain] = id.split('/');
  if (domain !== stack.node.id)
    throw new Error(
      `The queue ${id} belongs to ${domain}; ${stack.node.id} reaches it by an event.`,
    );
  const made = stack.node.tryFindChild(`queue/${id}`);
  if (made) return made as SqsQueue;
  const queue = new SqsQueue(stack, `queue/${id}`, {
    queueName: resourceName(id),
    enforceSSL: true,
    retentionPeriod: retention,
    removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    deadLetterQueue: { queue: deadQueueIn(stack, { id }), maxReceiveCount: receivesMax },
  });
  return queue;
}

export function deadQueueIn(stack: Domain, queue: QueueName): SqsQueue {
  const { id } = deadLetterOf(queue);
  const made = stack.node.tryFindChild(`queue/${id}`);
  if (made) return made as SqsQueue;
  return new SqsQueue(stack, `queue/${id}`, {
    queueName: resourceName(id),
    enforceSSL: true,
    retentionPeriod: deadRetention,
    removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
  });
}
