/** Computes the AWS cost of a million events. */
import { join } from 'node:path';
import { CloudWatchLogsClient, FilterLogEventsCommand } from '@aws-sdk/client-cloudwatch-logs';
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { SendMessageBatchCommand, SQSClient } from '@aws-sdk/client-sqs';
import type { RowDataPacket } from 'mysql2';
import type { Id } from '../lib/platform/names.ts';
import { resourceName } from '../lib/platform/names.ts';
import { clientOptions } from '../local/emulator.ts';
import { connect } from '../local/mysql.ts';
import { until } from '../local/processes.ts';
import { progressOn, table } from '../local/progress.ts';
import { root } from '../local/root.ts';
import { type Stack, startStack } from '../local/stack.ts';
import { seedBrokers } from '../local/upstream.ts';

const id: Id = 'broker/apply-event';
const messages = 1000;
const batch = 10;
const timedInvocations = 50;
const memoryGb = 0.5;

/** US dollars, on-demand list prices of us-east-1, November 2026, without free tiers. */
const prices = {
  /** https://aws.amazon.com/lambda/pricing/, arm64 */
  perInvocation: 0.2e-6,
  perGbSecond: 0.0000133334,
  /** https://aws.amazon.com/sqs/pricing/, standard queues; a batch of up to 64 kB counts as one request */
  perQueueRequest: 0.4e-6,
  /** https://aws.amazon.com/eventbridge/pricing/, custom events of up to 64 kB; delivery to a queue is free */
  perEvent: 1e-6,
  /** https://aws.amazon.com/cloudwatch/pricing/ */
  perLogGb: 0.5,
};

/** What one message took, measured on the deployed stack. */
interface Measured {
  readonly invocations: number;
  readonly sends: number;
  readonly seconds: number;
  readonly logBytes: number;
}

/**
 * What a million changes of brokers cost when each comes as a message of its own: requests and log lines counted on
 * the deployed stack, the time of invocations taken at the emulator's door, so that its own overhead is in it.
 */
export async function benchCost(): Promise<string> {
  const stack = await startStack(join(root, '.local/bench'), {}, progressOn(process.stdout));
  try {
    return tableOf(await measure(stack));
  } finally {
    await stack.stop();
  }
}

async function measure(stack: Stack): Promise<Measured> {
  await seedBrokers(stack.mysql, messages);
  const sends = await sendAll(stack);
  await allArrived(stack);
  const { invocations, logBytes } = await logged(stack);
  return {
    sends: sends / messages,
    invocations: invocations / messages,
    logBytes: logBytes / messages,
    seconds: (await medianSeconds(stack)) / batch,
  };
}

const bodyOf = (broker: number) =>
  JSON.stringify({ broker_ids: String(broker), flag: 2, source: 1 });

async function sendAll({ endpoints, emulator }: Stack): Promise<number> {
  const sqs = new SQSClient(clientOptions(emulator));
  let sends = 0;
  for (let first = 1; first <= messages; first += batch) {
    const Entries = Array.from({ length: batch }, (_, index) => ({
      Id: `${index}`,
      MessageBody: bodyOf(first + index),
    }));
    await sqs.send(new SendMessageBatchCommand({ QueueUrl: endpoints.queues[id], Entries }));
    sends += 1;
  }
  return sends;
}

async function allArrived({ mysql }: Stack): Promise<void> {
  const admin = await connect(mysql);
  const count = async () => {
    const [[row]] = await admin.query<RowDataPacket[]>(
      'select count(*) rows_there from user_prop_db.broker_base where is_deleted = 0',
    );
    return Number(row?.['rows_there']);
  };
  await until('every broker is there', async () => (await count()) === messages, {
    timeoutMs: 120_000,
  });
  await admin.end();
}

/** From the function's own lines: one for each message, each with its request's id. */
async function logged({ emulator }: Stack): Promise<{ invocations: number; logBytes: number }> {
  const logs = new CloudWatchLogsClient(clientOptions(emulator));
  const requests = new Set<string>();
  let logBytes = 0;
  let lines = 0;
  const collect = async () => {
    requests.clear();
    [logBytes, lines] = [0, 0];
    let nextToken: string | undefined;
    do {
      const page = await logs.send(
        new FilterLogEventsCommand({ logGroupName: `/signalbox/${id}`, nextToken }),
      );
      for (const { message = '' } of page.events ?? []) {
        logBytes += Buffer.byteLength(message);
        const request = /"function_request_id":"([^"]+)"/.exec(message)?.[1];
        if (request) requests.add(request);
        if (message.includes('"message":"applied"')) lines += 1;
      }
      nextToken = page.nextToken;
    } while (nextToken);
    return lines >= messages;
  };
  await until('every message left its line', collect);
  return { invocations: requests.size, logBytes };
}

async function medianSeconds({ emulator }: Stack): Promise<number> {
  const lambda = new LambdaClient(clientOptions(emulator));
  const seconds: number[] = [];
  for (let round = 0; round < timedInvocations; round++) {
    const Payload = JSON.stringify({ Records: records(round) });
    const began = performance.now();
    const { FunctionError } = await lambda.send(
      new InvokeCommand({ FunctionName: resourceName(id), Payload }),
    );
    if (FunctionError) throw new Error(`${id} ended with ${FunctionError}.`);
    seconds.push((performance.now() - began) / 1000);
  }
  return seconds.toSorted((a, b) => a - b)[Math.floor(seconds.length / 2)] ?? 0;
}

const records = (round: number) =>
  Array.from({ length: batch }, (_, index) => ({
    messageId: `bench-${round}-${index}`,
    body: bodyOf(1 + ((round * batch + index) % messages)),
    attributes: { ApproximateReceiveCount: '1', SentTimestamp: '1763690400000' },
  }));

function tableOf({ invocations, sends, seconds, logBytes }: Measured): string {
  const million = 1e6;
  const dollars = (perMessage: number) => (perMessage * million).toFixed(2);
  const bytesPerGb = 1e9;
  // Lambda takes a batch with one request and deletes it with another.
  const queueRequests = sends + 2 * invocations;
  const parts: [string, string, number][] = [
    ['Lambda requests', invocations.toFixed(3), invocations * prices.perInvocation],
    ['Lambda GB-seconds', (seconds * memoryGb).toFixed(5), seconds * memoryGb * prices.perGbSecond],
    ['SQS requests', queueRequests.toFixed(3), queueRequests * prices.perQueueRequest],
    ['log bytes', logBytes.toFixed(0), (logBytes / bytesPerGb) * prices.perLogGb],
  ];
  const sum = parts.reduce((total, [, , cost]) => total + cost, 0);
  const rows = [
    ...parts.map(([name, perMessage, cost]) => [name, perMessage, dollars(cost)]),
    ['together', '', dollars(sum)],
    ['and where it came over the bus', '1.000', dollars(sum + prices.perEvent)],
  ];
  const head = [id, 'per message', '$ per million'];
  return `What a million messages cost, measured with ${messages}\n${table(head, rows)}`;
}
