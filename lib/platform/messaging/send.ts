/** Sends messages to SQS in batches within its limits. */
import {
  type BatchResultErrorEntry,
  GetQueueUrlCommand,
  QueueDoesNotExist,
  SendMessageBatchCommand,
  type SendMessageBatchRequestEntry,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { textOf, Unavailable } from '../errors.ts';
import { requestHandler, variable } from '../lambda/config.ts';
import { queueVariable, resourceName } from '../names.ts';
import { firstRefused, jsonOf } from './characters.ts';
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
  return (messages) => send(messages.map((message) => ({ MessageBody: jsonOf(message) })));
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
 * was. One whose answer was lost counts as not accepted, although it may have gone. An entry that SQS can never take
 * is not sent, and changes nothing for the others.
 */
export async function sendEntries(
  queue: QueueName,
  queueUrl: string,
  entries: readonly Entry[],
): Promise<(Error | undefined)[]> {
  const errors = entries.map((entry) => {
    const why = whyUnsendable(entry);
    return why === undefined ? undefined : new Error(why);
  });
  const numbered = [...entries.entries()].filter(([index]) => !errors[index]);
  const sendable = numbered.map(([, entry]) => entry);
  const batches = batchesOf(sendable, queue).values();
  const lane = async () => {
    for (const batch of batches)
      for (const [position, error] of await sendBatch(queueUrl, batch))
        errors[numbered[position]?.[0] ?? 0] = error;
  };
  await Promise.all(Array.from({ length: batchesAtOnceMax }, lane));
  return errors;
}

type Numbered = readonly [index: number, entry: Entry];

/** Why SQS can never take an entry, whatever its state; undefined where it may. */
export function whyUnsendable(entry: Entry): string | undefined {
  const bytes = bytesOf(entry);
  if (bytes > messageBytesMax) return tooLarge(bytes);
  if (!bytes) return 'The message is empty.';
  const character = firstRefused(entry.MessageBody);
  return character && `The message contains ${character}, which SQS refuses.`;
}

/** The reason why a message of this size is never sent. */
export const tooLarge = (bytes: number): string =>
  `The message has ${bytes} bytes; SQS takes ${messageBytesMax}.`;

/**
 * What SQS refused on its own side is sent again, up to `attemptsMax` times; what is our fault is not. Where SQS refuses
 * the request as a whole for what it contains, each entry is sent in a request of its own.
 */
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
      if (isContentFault(error))
        return [...errors, ...(await refusedOfEach(QueueUrl, rest, error))];
      const unavailable = new Unavailable(textOf(error), { cause: error });
      return [...errors, ...rest.map(([index]): [number, Error] => [index, unavailable])];
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

async function refusedOfEach(
  queueUrl: string,
  batch: readonly Numbered[],
  error: Error,
): Promise<[index: number, error: Error][]> {
  if (batch.length === 1) return batch.map(([index]) => [index, new Error(textOf(error))]);
  const errors: [number, Error][] = [];
  for (const one of batch) errors.push(...(await sendBatch(queueUrl, [one])));
  return errors;
}

/** With these SQS and EventBridge say that a request as a whole holds something that they do not take. */
const contentFaults = new Set([
  'BatchRequestTooLong',
  'InvalidMessageContents',
  'InvalidParameterValue',
  'InvalidParameterValueException',
  'RequestEntityTooLarge',
  'SerializationException',
  'ValidationException',
]);
export const isContentFault = (error: unknown): error is Error =>
  error instanceof Error && contentFaults.has(error.name);

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

/** Returns the URL of a queue by its name, for functions whose variables do not name the queue. */
export const queueUrlOf = ({ id }: QueueName): Promise<string> => urlNamed(resourceName(id));

/** The URL of the queue from which a record came. */
export const queueUrlAt = (arn: string): Promise<string> =>
  urlNamed(arn.slice(arn.lastIndexOf(':') + 1));

async function urlNamed(name: string): Promise<string> {
  try {
    const { QueueUrl } = await sqsClient().send(new GetQueueUrlCommand({ QueueName: name }));
    if (QueueUrl) return QueueUrl;
  } catch (cause) {
    const why = `The URL of the queue ${name} cannot be read: ${textOf(cause)}`;
    throw new Unavailable(why, { cause });
  }
  throw new Error(`The queue ${name} has no URL.`);
}

/** Whether an error, or what caused it, says that there is no such queue. */
export const isMissingQueue = (error: unknown): boolean =>
  error instanceof Error && (error instanceof QueueDoesNotExist || isMissingQueue(error.cause));

/** Whether an error, or what caused it, says that we may not use a queue or the bus: its right may be granted later. */
export const isForbidden = (error: unknown): boolean =>
  error instanceof Error &&
  (/AccessDenied|NotAuthorized/.test(error.name) || isForbidden(error.cause));
