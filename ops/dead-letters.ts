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
   * The right to delete it or to put it back; until it is used or its visibility timeout is over
   * nobody else sees it.
   */
  readonly handle: string;
  readonly body: string;
  readonly reason: string;
  readonly sentAt: Date;
  /**
   * The ids under which it lay on the live queue: its own where SQS moved it, another where a
   * consumer copied it.
   */
  readonly ids: readonly string[];
  /** Its sender's own. */
  readonly attributes: Record<string, MessageAttributeValue>;
}

export interface LetterDeps {
  readonly sqs: SQSClient;
  readonly longPollSeconds: number;
}

/** Limit of every batch call: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html */
const batchSizeMax = 10;
const batchBytesMax = 1_048_576;
/** From one second on, an empty answer means an empty queue, because SQS asks all its servers. */
export const longPollSeconds = 1;
/** Receives up to ten letters, which nobody else sees for so many seconds. */
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

/** The attributes that a consumer puts on the copy it sets aside (lib/platform/messaging/consume.ts). */
const ours = new Set(['reason', 'messageId', 'sentAt']);
const withoutReason = 'no reason: SQS gave it up after its last delivery';

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
      Object.entries(MessageAttributes).filter(([name]) => !ours.has(name)),
    ),
  };
}

/** Batches of changes that SQS gets at once. */
const batchesAtOnceMax = 10;

/**
 * Makes letters visible again. A handle whose time is over is refused, which is right: the letter is visible already.
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
 * Sends the bodies of letters to a queue; returns the ids under which they lie there, by letter. A
 * letter that SQS refused has none.
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

/** At most ten, and one alone where all together are too much. */
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

/** Deletes letters; returns those that are gone. */
export async function remove(
  sqs: SQSClient,
  QueueUrl: string,
  letters: readonly Letter[],
): Promise<Letter[]> {
  const gone: Letter[] = [];
  for (let start = 0; start < letters.length; start += batchSizeMax) {
    const batch = letters.slice(start, start + batchSizeMax);
    const Entries = batch.map(({ handle }, index) => ({
      Id: String(index),
      ReceiptHandle: handle,
    }));
    const { Successful = [] } = await sqs.send(
      new DeleteMessageBatchCommand({ QueueUrl, Entries }),
    );
    gone.push(...Successful.flatMap(({ Id }) => batch[Number(Id)] ?? []));
  }
  return gone;
}

export interface Size {
  readonly visible: number;
  readonly inFlight: number;
  readonly delayed: number;
}

/** As SQS estimates it. */
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
