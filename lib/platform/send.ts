import {
  SendMessageBatchCommand,
  type SendMessageBatchRequestEntry,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { variable } from './config.ts';
import { queueVariable } from './names.ts';
import type { Queue, QueueName } from './queue.ts';

/** Limits of one SendMessageBatch: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html */
const batchSizeMax = 10;
const batchBytesMax = 1_048_576;
const attemptsMax = 4;
const batchesAtOnceMax = 4;

export type Entry = Omit<SendMessageBatchRequestEntry, 'Id'> & { readonly MessageBody: string };
export type Send<Sent> = (messages: readonly Sent[]) => Promise<void>;

let client: SQSClient | undefined;

/** Sends messages to a queue; returns when SQS has accepted every one, throws otherwise (some may have gone). */
export function sender<Message, Sent>(queue: Queue<Message, Sent>): Send<Sent> {
  const send = entriesSender(queue);
  return (messages) => send(messages.map((message) => ({ MessageBody: JSON.stringify(message) })));
}

/** The same for ready SQS entries. */
export function entriesSender(queue: QueueName): (entries: readonly Entry[]) => Promise<void> {
  const queueUrl = variable(queueVariable(queue.id));
  return async (entries) => {
    const batches = batchesOf(entries, queue).values();
    const lane = async () => {
      for (const batch of batches) await sendBatch(queue, queueUrl, batch);
    };
    await Promise.all(Array.from({ length: batchesAtOnceMax }, lane));
  };
}

/** What SQS refused on its own side is sent again, up to `attemptsMax` times; what is our fault is not. */
async function sendBatch(queue: QueueName, QueueUrl: string, batch: readonly Entry[]) {
  client ??= new SQSClient({});
  let rest = batch.map((entry, index) => ({ Id: String(index), ...entry }));
  for (let attempt = 1; ; attempt++) {
    const { Failed = [] } = await client.send(
      new SendMessageBatchCommand({ QueueUrl, Entries: rest }),
    );
    const [first] = Failed;
    if (!first) return;
    if (attempt === attemptsMax || Failed.some(({ SenderFault }) => SenderFault)) {
      const why = `${first.Code}: ${first.Message ?? 'no message'}`;
      throw new Error(`${queue.id} refused ${Failed.length} of ${rest.length} messages: ${why}`);
    }
    const refused = new Set(Failed.map(({ Id }) => Id));
    rest = rest.filter(({ Id }) => refused.has(Id));
    await new Promise((done) => setTimeout(done, 50 * 2 ** attempt));
  }
}

/** Splits by number and by size. Throws if one message alone is over the limit. */
export function batchesOf(entries: readonly Entry[], queue: QueueName): Entry[][] {
  const batches: Entry[][] = [];
  let bytes = 0;
  for (const entry of entries) {
    const size = bytesOf(entry);
    if (size > batchBytesMax)
      throw new Error(`A message for ${queue.id} has ${size} bytes; SQS takes ${batchBytesMax}.`);
    const last = batches.at(-1);
    if (last && last.length < batchSizeMax && bytes + size <= batchBytesMax) {
      last.push(entry);
      bytes += size;
    } else {
      batches.push([entry]);
      bytes = size;
    }
  }
  return batches;
}

/** As SQS counts: the body, and name, type and value of each attribute. */
function bytesOf({ MessageBody, MessageAttributes = {} }: Entry): number {
  let bytes = Buffer.byteLength(MessageBody);
  for (const [name, { DataType = '', StringValue = '' }] of Object.entries(MessageAttributes))
    bytes += Buffer.byteLength(name + DataType + StringValue);
  return bytes;
}
