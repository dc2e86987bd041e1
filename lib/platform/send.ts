import {
  type BatchResultErrorEntry,
  GetQueueUrlCommand,
  SendMessageBatchCommand,
  type SendMessageBatchRequestEntry,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { requestHandler, variable } from './config.ts';
import { textOf, Unavailable } from './errors.ts';
import { queueVariable, resourceName } from './names.ts';
import type { Queue, QueueName } from './queue.ts';

/** Limits of one SendMessageBatch: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html */
const batchSizeMax = 10;
const batchBytesMax = 1_048_576;
/** One message may fill a batch. */
export const messageBytesMax = batchBytesMax;
const attemptsMax = 4;
const batchesAtOnceMax = 4;

export type Entry = Omit<SendMessageBatchRequestEntry, 'Id'> & { readonly MessageBody: string };
export type Send<Sent> = (messages: readonly Sent[]) => Promise<void>;

let client: SQSClient | undefined;

/** The client of all that this process asks of SQS. */
export function sqsClient(): SQSClient {
  client ??= new SQSClient({ requestHandler });
  return client;
}

/** Sends messages to a queue; returns when SQS has accepted every one, throws otherwise (some may have gone). */
export function sender<Message, Sent>(queue: Queue<Message, Sent>): Send<Sent> {
  const send = entriesSender(queue);
  return (messages) => send(messages.map((message) => ({ MessageBody: JSON.stringify(message) })));
}

/** The same for ready SQS entries. */
export function entriesSender(queue: QueueName): (entries: readonly Entry[]) => Promise<void> {
  const queueUrl = variable(queueVariable(queue.id));
  return async (entries) => {
    const errors = await sendEntries(queue, queueUrl, entries);
    const refused = errors.filter((error) => error !== undefined);
    if (!refused.length) return;
    const what = `${queue.id} did not take ${refused.length} of ${entries.length} messages`;
    throw new Error(`${what}: ${refused[0]?.message}`, { cause: refused[0] });
  };
}

/**
 * Sends entries and returns, in their order, for each the error with which it was not accepted, undefined where it
 * was. One whose answer was lost counts as not accepted, although it may have gone.
 */
export async function sendEntries(
  queue: QueueName,
  queueUrl: string,
  entries: readonly Entry[],
): Promise<(Error | undefined)[]> {
  const errors: (Error | undefined)[] = Array.from({ length: entries.length });
  const batches = batchesOf(entries, queue).values();
  const lane = async () => {
    for (const batch of batches)
      for (const [index, error] of await sendBatch(queueUrl, batch)) errors[index] = error;
  };
  await Promise.all(Array.from({ length: batchesAtOnceMax }, lane));
  return errors;
}

type Numbered = readonly [index: number, entry: Entry];

/** What SQS refused on its own side is sent again, up to `attemptsMax` times; what is our fault is not. */
async function sendBatch(
  QueueUrl: string,
  batch: readonly Numbered[],
): Promise<[index: number, error: Error][]> {
  const errors: [number, Error][] = [];
  let rest = batch;
  for (let attempt = 1; rest.length; attempt++) {
    const Entries = rest.map(([index, entry]) => ({ Id: String(index), ...entry }));
    let failed: BatchResultErrorEntry[];
    try {
      const command = new SendMessageBatchCommand({ QueueUrl, Entries });
      failed = (await sqsClient().send(command)).Failed ?? [];
    } catch (error) {
      const away = new Unavailable(textOf(error), { cause: error });
      return [...errors, ...rest.map(([index]): [number, Error] => [index, away])];
    }
    const again = new Set<number>();
    for (const { Id, SenderFault, Code, Message } of failed)
      if (SenderFault || attempt === attemptsMax)
        errors.push([Number(Id), refusal(`${Code}: ${Message ?? 'no message'}`, SenderFault)]);
      else again.add(Number(Id));
    rest = rest.filter(([index]) => again.has(index));
    if (rest.length) await new Promise((done) => setTimeout(done, 50 * 2 ** attempt));
  }
  return errors;
}

/** What is no fault of the message says that the queue is unavailable. */
const refusal = (why: string, fault: boolean | undefined): Error =>
  fault ? new Error(why) : new Unavailable(why);

/** Splits by number and by size. Throws if one message alone is over the limit. */
export function batchesOf(entries: readonly Entry[], queue: QueueName): Numbered[][] {
  const batches: Numbered[][] = [];
  let bytes = 0;
  for (const [index, entry] of entries.entries()) {
    const size = bytesOf(entry);
    if (size > messageBytesMax)
      throw new Error(`A message for ${queue.id} has ${size} bytes; SQS takes ${messageBytesMax}.`);
    const last = batches.at(-1);
    if (last && last.length < batchSizeMax && bytes + size <= batchBytesMax) {
      last.push([index, entry]);
      bytes += size;
    } else {
      batches.push([[index, entry]]);
      bytes = size;
    }
  }
  return batches;
}

/** As SQS counts: the body, and name, type and value of each attribute. */
export function bytesOf({ MessageBody, MessageAttributes = {} }: Entry): number {
  let bytes = Buffer.byteLength(MessageBody);
  for (const [name, { DataType = '', StringValue = '' }] of Object.entries(MessageAttributes))
    bytes += Buffer.byteLength(name + DataType + StringValue);
  return bytes;
}

/** The URL of a queue by its name, for who sends to queues that its variables do not name. */
export const queueUrlOf = ({ id }: QueueName): Promise<string> => urlNamed(resourceName(id));

/** The URL of the queue from which a record came. */
export const queueUrlAt = (arn: string): Promise<string> =>
  urlNamed(arn.slice(arn.lastIndexOf(':') + 1));

async function urlNamed(name: string): Promise<string> {
  const { QueueUrl } = await sqsClient().send(new GetQueueUrlCommand({ QueueName: name }));
  if (!QueueUrl) throw new Error(`The queue ${name} has no URL.`);
  return QueueUrl;
}
