import { randomUUID } from 'node:crypto';
import {
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  GetQueueAttributesCommand,
  type Message,
  ReceiveMessageCommand,
  SetQueueAttributesCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { deadLetterOf, type QueueName } from '../../lib/platform/messaging/queue.ts';
import { queueVariable, resourceName } from '../../lib/platform/names.ts';
import { clientOptions } from '../../local/emulator.ts';
import { started } from './started.ts';

const emulator = await started('emulator');

export const sqs = (): SQSClient => new SQSClient(clientOptions(emulator));

/** Makes a queue of just that name. */
export async function namedQueue(QueueName: string): Promise<string> {
  const { QueueUrl = '' } = await sqs().send(new CreateQueueCommand({ QueueName }));
  return QueueUrl;
}

/** Makes a queue that nobody drains and tells this process's handlers that it is theirs. */
export async function testQueue(queue: QueueName): Promise<string> {
  const url = await namedQueue(`${resourceName(queue.id)}-${randomUUID()}`.slice(-80));
  process.env[queueVariable(queue.id)] = url;
  return url;
}

export const testDeadLetterQueue = (queue: QueueName): Promise<string> =>
  testQueue(deadLetterOf(queue));

/**
 * Lets a message whose consumer failed, or died, come again after so many seconds, whatever the queue was deployed
 * with. Returns what undoes it.
 */
export async function redeliverAfter(QueueUrl: string, seconds: number) {
  const { Attributes } = await sqs().send(
    new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['VisibilityTimeout'] }),
  );
  const set = async (VisibilityTimeout = '30') => {
    const change = { QueueUrl, Attributes: { VisibilityTimeout } };
    await sqs().send(new SetQueueAttributesCommand(change));
  };
  await set(String(seconds));
  return async () => await set(Attributes?.['VisibilityTimeout']);
}

/** Takes all messages that lie in a queue. */
export async function take(QueueUrl: string): Promise<Message[]> {
  const client = sqs();
  const all: Message[] = [];
  for (;;) {
    const { Messages = [] } = await client.send(
      new ReceiveMessageCommand({
        QueueUrl,
        MaxNumberOfMessages: 10,
        MessageAttributeNames: ['All'],
      }),
    );
    if (!Messages.length) return all;
    all.push(...Messages);
    const Entries = Messages.map(({ ReceiptHandle = '' }, index) => ({
      Id: `${index}`,
      ReceiptHandle,
    }));
    await client.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }));
  }
}

/** What the dead-letter queue holds: body and reason, in the order of the reasons. */
export async function takeDead(url: string): Promise<{ body: string; reason: string }[]> {
  const messages = await take(url);
  return messages
    .map(({ Body = '', MessageAttributes = {} }) => ({
      body: Body,
      reason: MessageAttributes['reason']?.StringValue ?? '',
    }))
    .toSorted((a, b) => a.reason.localeCompare(b.reason));
}
