/** Receives, sends, deletes and puts back the messages of dead-letter queues. */
import {
  ChangeMessageVisibilityBatchCommand,
  DeleteMessageBatchCommand,
  GetQueueAttributesCommand,
  type Message,
  type MessageAttributeValue,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs';

/** A message on a dead-letter queue. */
export interface Letter {
  readonly messageId: string;
  /**
   * The receipt handle, with which the letter is deleted or put back. Until then, or until the visibility timeout ends,
   * the letter is invisible to others.
   */
  readonly handle: string;
  readonly body: string;
  readonly reason: string;
  readonly sentAt: Date;
  /**
   * Ids that the message had on the live queue: its own id if SQS moved it, another one if a consumer sent a copy to the
   * dead-letter queue.
   */
  readonly ids: readonly string[];
  /** Message attributes that the original sender set. */
  readonly attributes: Record<string, MessageAttributeValue>;
}

export interface LetterDeps {
  readonly sqs: SQSClient;
  readonly longPollSeconds: number;
}

/** Limit of every batch call: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html */
const batchSizeMax = 10;
const batchBytesMax = 1_048_576;
/** With long polling of at least one second an empty answer means an empty queue, because SQS asks all its servers. */
export const longPollSeconds = 1;

/** Receives up to ten letters and hides them from others for `VisibilityTimeout` seconds. */
export async function receive(
  { sqs, longPollSeconds }: LetterDeps,
  QueueUrl: string,
  VisibilityTimeout: number,
): Promise<Letter[]> {
  const { Messages = [] } = await sqs.send(
    new ReceiveMessageCommand({
      QueueUrl,
      MaxNumberOfMessages: batchSizeMax,
      VisibilityTimeout,
      WaitTimeSeconds: longPollSeconds,
      MessageAttributeNames: ['All'],
      MessageSystemAttributeNames: ['SentTimestamp'],
    }),
  );
  return Messages.map(letterOf);
}

/** Attributes that a consumer adds to a message that it dead-letters (lib/platform/messaging/consume.ts). */
const consumerAttributes = new Set(['reason', 'messageId', 'sentAt']);
const withoutReason = 'no reason: SQS moved it here after its last delivery';

function letterOf(message: Message): Letter {
  const { MessageId = '', ReceiptHandle = '', Body = '', MessageAttributes = {} } = message;
  const { reason, messageId } = MessageAttributes;
  return {
    messageId: MessageId,
    handle: ReceiptHandle,
    body: Body,
    reason: reason?.StringValue ?? withoutReason,
    sentAt: new Date(Number(message.Attributes?.SentTimestamp ?? 0)),
    ids: [MessageId, messageId?.StringValue ?? MessageId],
    attributes: Object.fromEntries(
      Object.entries(MessageAttributes).filter(([name]) => !consumerAttributes.has(name)),
    ),
  };
}

/** Batch calls that run at the same time. */
const batchesAtOnceMax = 10;

/**
 * Makes letters visible again. SQS refuses an expired handle, which does no harm: that letter is visible already.
 */
export async function putBack(
  sqs: SQSClient,
  QueueUrl: string,
  letters: readonly Letter[],
): Promise<void> {
  const starts = Array.from(
    { length: Math.ceil(letters.length / batchSizeMax) },
    (_, index) => index * batchSizeMax,
  ).values();
  const lane = async () => {
    for (const start of starts) {
      const Entries = letters.slice(start, start + batchSizeMax).map(({ handle }, index) => ({
        Id: String(index),
        ReceiptHandle: handle,
        VisibilityTimeout: 0,
      }));
      await sqs.send(new ChangeMessageVisibilityBatchCommand({ QueueUrl, Entries }));
    }
  };
  await Promise.all(Array.from({ length: batchesAtOnceMax }, lane));
}

/**
 * Sends the bodies of letters to a queue. Returns the new message id of each letter; letters that SQS refused are
 * missing.
 */
export async function send(
  sqs: SQSClient,
  QueueUrl: string,
  letters: readonly Letter[],
): Promise<Map<Letter, string>> {
  const sent = new Map<Letter, string>();
  for (const batch of batchesOf(letters)) {
    const Entries = batch.map(({ body, attributes }, index) => ({
      Id: String(index),
      MessageBody: body,
      MessageAttributes: attributes,
    }));
    const { Successful = [] } = await sqs.send(new SendMessageBatchCommand({ QueueUrl, Entries }));
    for (const { Id, MessageId = '' } of Successful) {
      const letter = batch[Number(Id)];
      if (letter) sent.set(letter, MessageId);
    }
  }
  return sent;
}

/** Returns batches of ten, or of one if the letters together exceed the size limit of a batch. */
function batchesOf(letters: readonly Letter[]): (readonly Letter[])[] {
  const bytes = letters.reduce((sum, { body, attributes }) => {
    return sum + Buffer.byteLength(body) + Buffer.byteLength(JSON.stringify(attributes));
  }, 0);
  const size = bytes > batchBytesMax ? 1 : batchSizeMax;
  const count = Math.ceil(letters.length / size);
  return Array.from({ length: count }, (_, index) =>
    letters.slice(index * size, (index + 1) * size),
  );
}

/** Deletes letters. Returns those that SQS deleted. */
export async function remove(
  sqs: SQSClient,
  QueueUrl: string,
  letters: readonly Letter[],
): Promise<Letter[]> {
  const deleted: Letter[] = [];
  for (let start = 0; start < letters.length; start += batchSizeMax) {
    const batch = letters.slice(start, start + batchSizeMax);
    const Entries = batch.map(({ handle }, index) => ({
      Id: String(index),
      ReceiptHandle: handle,
    }));
    const { Successful = [] } = await sqs.send(
      new DeleteMessageBatchCommand({ QueueUrl, Entries }),
    );
    deleted.push(...Successful.flatMap(({ Id }) => batch[Number(Id)] ?? []));
  }
  return deleted;
}

export interface Size {
  readonly visible: number;
  readonly inFlight: number;
  readonly delayed: number;
}

/** Returns SQS's estimate of the queue's size. */
export async function sizeOf(sqs: SQSClient, QueueUrl: string): Promise<Size> {
  const { Attributes = {} } = await sqs.send(
    new GetQueueAttributesCommand({
      QueueUrl,
      AttributeNames: [
        'ApproximateNumberOfMessages',
        'ApproximateNumberOfMessagesNotVisible',
        'ApproximateNumberOfMessagesDelayed',
      ],
    }),
  );
  return {
    visible: Number(Attributes.ApproximateNumberOfMessages ?? 0),
    inFlight: Number(Attributes.ApproximateNumberOfMessagesNotVisible ?? 0),
    delayed: Number(Attributes.ApproximateNumberOfMessagesDelayed ?? 0),
  };
}
