/** Measures sending to SQS beside the bare SDK. */
import { join } from 'node:path';
import {
  CreateQueueCommand,
  GetQueueAttributesCommand,
  PurgeQueueCommand,
  SendMessageBatchCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import * as z from 'zod';
import { queue } from '../lib/platform/messaging/queue.ts';
import { sender } from '../lib/platform/messaging/send.ts';
import { queueVariable } from '../lib/platform/names.ts';
import { startEmulator } from '../local/emulator.ts';
import { freePort } from '../local/ports.ts';
import { Processes } from '../local/processes.ts';
import { table } from '../local/progress.ts';
import { mediansInTurns } from './paired-timing.ts';

const rounds = 41;
const count = 400;
const ratioMin = 0.95;

const numbers = queue('bench/send-number', z.object({ number: z.int(), text: z.string() }));
type Message = z.infer<typeof numbers.schema>;
const messages: readonly Message[] = Array.from({ length: count }, (_, number) => ({
  number,
  text: '房源'.repeat(50),
}));

/** Sending beside plain loops of SendMessageBatch with the same SDK, to the same emulator, as many at once. */
export async function benchSend(dir: string): Promise<string> {
  const processes = new Processes(join(dir, 'send'));
  const awake = setInterval(() => {}, 1000); // The end of a server alone keeps no process waiting.
  try {
    const port = await freePort('the AWS emulator', undefined);
    const { env } = await startEmulator(processes, join(dir, 'emulator'), port);
    Object.assign(process.env, env);
    return await measured(new SQSClient({}));
  } finally {
    await processes.endAll();
    clearInterval(awake);
  }
}

async function measured(client: SQSClient): Promise<string> {
  const { QueueUrl = '' } = await client.send(new CreateQueueCommand({ QueueName: 'bench' }));
  process.env[queueVariable(numbers.id)] = QueueUrl;
  const send = sender(numbers);
  const { ours, peer } = await mediansInTurns(
    rounds,
    async () => {
      await send(messages);
      await arrived(client, QueueUrl);
    },
    async () => {
      await plainly(client, QueueUrl);
      await arrived(client, QueueUrl);
    },
  );
  const ratio = peer / ours;
  const row = [
    `${count} messages`,
    `${ours.toFixed(1)} ms`,
    `${peer.toFixed(1)} ms`,
    ratio.toFixed(2),
    ratio >= ratioMin ? '✓' : '✗',
  ];
  const head = ['sending', 'ours', 'plain', `≥ ${ratioMin}`, ''];
  return `Sending beside plain loops of SendMessageBatch (medians of ${rounds})\n${table(head, [row])}`;
}

const batchSize = 10;
const loops = 4;

async function plainly(client: SQSClient, QueueUrl: string): Promise<void> {
  const starts = Array.from(
    { length: count / batchSize },
    (_, index) => index * batchSize,
  ).values();
  const loop = async () => {
    for (const start of starts) {
      const Entries = messages
        .slice(start, start + batchSize)
        .map((message, index) => ({ Id: `${index}`, MessageBody: JSON.stringify(message) }));
      await client.send(new SendMessageBatchCommand({ QueueUrl, Entries }));
    }
  };
  await Promise.all(Array.from({ length: loops }, loop));
}

/** Throws unless each message is there once; empties the queue. The two calls are the same for both. */
async function arrived(client: SQSClient, QueueUrl: string): Promise<void> {
  const AttributeNames = ['ApproximateNumberOfMessages' as const];
  const { Attributes } = await client.send(
    new GetQueueAttributesCommand({ QueueUrl, AttributeNames }),
  );
  const there = Number(Attributes?.ApproximateNumberOfMessages);
  if (there !== count) throw new Error(`${there} of ${count} messages arrived.`);
  await client.send(new PurgeQueueCommand({ QueueUrl }));
}
