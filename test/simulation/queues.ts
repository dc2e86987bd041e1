import { PutEventsCommand } from '@aws-sdk/client-eventbridge';
import {
  ChangeMessageVisibilityBatchCommand,
  GetQueueUrlCommand,
  SendMessageBatchCommand,
  type SendMessageBatchResult,
} from '@aws-sdk/client-sqs';
import type { SQSRecord } from 'aws-lambda';
import { deadLetterOf, type QueueName } from '../../lib/platform/messaging/queue.ts';
import { queueVariable, resourceName } from '../../lib/platform/names.ts';
import { cross, lostConnection, type World } from './world.ts';

export interface Letter {
  readonly id: string;
  readonly body: string;
  /** The reason of a dead letter. */
  readonly reason: string | undefined;
  readonly sentAtMs: number;
  visibleAtMs: number;
  receives: number;
}

/** A standard SQS queue: at-least-once, unordered, with visibility time-outs and retention. */
export interface SimulatedQueue {
  readonly name: QueueName;
  readonly letters: Map<string, Letter>;
  /** Every message that was ever accepted. */
  readonly sent: Letter[];
}

export interface Queues {
  /** Creates the queue and its dead-letter queue, and tells the handlers of this process their URLs. */
  readonly open: (name: QueueName) => SimulatedQueue;
  readonly all: () => readonly SimulatedQueue[];
  readonly dead: (name: QueueName) => SimulatedQueue;
  /** Sends a message of an upstream system: no boundary, no fault. */
  readonly put: (queue: SimulatedQueue, body: string, reason?: string, delayMs?: number) => void;
  /** Delivers an old message again; it is not added to `sent`. */
  readonly again: (queue: SimulatedQueue, letter: Letter) => void;
  readonly receive: (queue: SimulatedQueue, letters: readonly Letter[], hideMs: number) => void;
  /** Runs a command of a worker's SQS or EventBridge client. */
  readonly command: (command: unknown) => Promise<unknown>;
  readonly events: { readonly name: string; readonly body: string }[];
}

const retentionMs = 14 * 86_400_000;
const deadRetentionMs = 14 * 86_400_000;

/** `receivesMax` is the redrive policy of SQS, for messages whose consumer crashes each time. */
export function newQueues(world: World, receivesMax: number, delayMs: () => number): Queues {
  const byId = new Map<string, SimulatedQueue>();
  const byUrl = new Map<string, SimulatedQueue>();
  const events: { name: string; body: string }[] = [];
  let letters = 0;

  const known = (name: QueueName): SimulatedQueue => {
    const before = byId.get(name.id);
    if (before) return before;
    const url = `https://sqs.simulated/${resourceName(name.id)}`;
    process.env[queueVariable(name.id)] = url;
    const queue = { name, letters: new Map(), sent: [] };
    byId.set(name.id, queue);
    byUrl.set(url, queue);
    return queue;
  };
  const put: Queues['put'] = (queue, body, reason, delay = 0) => {
    letters += 1;
    const id = `00000000-0000-4000-8000-${String(letters).padStart(12, '0')}`;
    const sentAtMs = world.nowMs;
    const letter = { id, body, reason, sentAtMs, visibleAtMs: sentAtMs + delay, receives: 0 };
    queue.letters.set(id, letter);
    queue.sent.push(letter);
  };

  const send = ({ input }: SendMessageBatchCommand) => {
    const queue = byUrl.get(input.QueueUrl ?? '');
    const entries = input.Entries ?? [];
    if (!queue) throw new Error(`The queue ${input.QueueUrl} does not exist.`);
    return cross<SendMessageBatchResult>('send', `send ${entries.length} to ${queue.name.id}`, {
      fail: async () => lostConnection(),
      run: async (fault) => {
        const refused = fault === 'part' ? 1 : 0;
        for (const { MessageBody = '', MessageAttributes } of entries.slice(refused))
          put(queue, MessageBody, MessageAttributes?.['reason']?.StringValue, delayMs());
        const results = entries.map(({ Id = '' }) => ({ Id, MessageId: Id, MD5OfMessageBody: '' }));
        const Failed = results.slice(0, refused).map(({ Id }) => ({
          Id,
          SenderFault: false,
          Code: 'InternalError',
          Message: 'try again',
        }));
        return { Successful: results.slice(refused), Failed };
      },
    });
  };
  const hide = ({ input: { QueueUrl = '', Entries = [] } }: ChangeMessageVisibilityBatchCommand) =>
    cross('send', `hide ${Entries.length} of ${byUrl.get(QueueUrl)?.name.id}`, {
      fail: async () => lostConnection(),
      run: async () => {
        for (const { ReceiptHandle = '', VisibilityTimeout = 0 } of Entries) {
          const letter = byUrl.get(QueueUrl)?.letters.get(ReceiptHandle);
          if (letter) letter.visibleAtMs = world.nowMs + VisibilityTimeout * 1000;
        }
        return { Successful: Entries.map(({ Id }) => ({ Id })), Failed: [] };
      },
    });
  const putEvents = ({ input: { Entries = [] } }: PutEventsCommand) =>
    cross('send', `put ${Entries.length} events`, {
      fail: async () => lostConnection(),
      run: async (fault) => {
        const refused = fault === 'part' ? 1 : 0;
        for (const { DetailType = '', Detail = '' } of Entries.slice(refused))
          events.push({ name: DetailType, body: Detail });
        return {
          Entries: Entries.map((_, index) =>
            index < refused ? { ErrorCode: 'InternalFailure' } : { EventId: String(index) },
          ),
        };
      },
    });

  return {
    open: (name) => {
      if (!byId.has(name.id)) known(deadLetterOf(name));
      return known(name);
    },
    dead: (name) => known(deadLetterOf(name)),
    all: () => [...byId.values()],
    events,
    put,
    again: (queue, letter) => {
      const sentAtMs = world.nowMs;
      queue.letters.set(letter.id, { ...letter, sentAtMs, visibleAtMs: sentAtMs, receives: 0 });
    },
    receive: (queue, chosen, hideMs) => {
      for (const letter of chosen) {
        letter.receives += 1;
        letter.visibleAtMs = world.nowMs + hideMs;
        if (letter.receives <= receivesMax) continue;
        queue.letters.delete(letter.id);
        put(known(deadLetterOf(queue.name)), letter.body, 'received too often');
      }
    },
    command: async (command) => {
      if (command instanceof SendMessageBatchCommand) return await send(command);
      if (command instanceof ChangeMessageVisibilityBatchCommand) return await hide(command);
      if (command instanceof PutEventsCommand) return await putEvents(command);
      if (command instanceof GetQueueUrlCommand)
        return await cross('send', `find ${command.input.QueueName}`, {
          fail: async () => lostConnection(),
          run: async () => ({ QueueUrl: `https://sqs.simulated/${command.input.QueueName}` }),
        });
      throw new Error(`The simulated cloud does not support ${command?.constructor.name}.`);
    },
  };
}

const isDead = ({ name }: SimulatedQueue) => name.id.endsWith('/dead');

/** Returns the queues that have a consumer; a run settles only when they are empty. */
export const drained = (queues: Queues): SimulatedQueue[] =>
  queues.all().filter((queue) => !isDead(queue));

/** Deletes messages that are older than the retention, as SQS does. */
export function forgetOld(queues: Queues, nowMs: number): void {
  for (const queue of queues.all())
    for (const letter of queue.letters.values())
      if (nowMs - letter.sentAtMs > (isDead(queue) ? deadRetentionMs : retentionMs))
        queue.letters.delete(letter.id);
}

/** Returns a message as Lambda receives it. */
export const recordOf = (
  { name }: SimulatedQueue,
  { id, body, sentAtMs, receives }: Letter,
): SQSRecord => ({
  messageId: id,
  receiptHandle: id,
  body,
  attributes: {
    ApproximateReceiveCount: String(receives),
    ApproximateFirstReceiveTimestamp: String(sentAtMs),
    SentTimestamp: String(sentAtMs),
    SenderId: 'simulation',
  },
  messageAttributes: {},
  md5OfBody: '',
  eventSource: 'aws:sqs',
  eventSourceARN: `arn:aws:sqs:us-east-1:000000000000:${resourceName(name.id)}`,
  awsRegion: 'us-east-1',
});
