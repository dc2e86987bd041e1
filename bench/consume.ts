/** Measures `consume` beside a bare handler. */
import { Logger } from '@aws-lambda-powertools/logger';
import type { Context, SQSEvent } from 'aws-lambda';
import * as z from 'zod';
import { deadLetterOf, queue } from '../lib/platform/messaging/queue.ts';
import { queueVariable } from '../lib/platform/names.ts';
import { table } from '../local/progress.ts';
import { mediansInTurns } from './paired-timing.ts';

const rounds = 40;
const batchesPerRound = 50;
const batchSize = 10;
const overheadMsMax = 0.25;
const ratioMax = 4;

const numbers = queue(
  'bench/consume-number',
  z.object({ number: z.int(), name: z.string(), at: z.iso.datetime() }),
);

const event = {
  Records: Array.from({ length: batchSize }, (_, number) => ({
    messageId: `00000000-0000-4000-8000-00000000000${number}`,
    body: JSON.stringify({ number, name: '经纪人', at: '2026-11-21T02:00:00Z' }),
    attributes: { ApproximateReceiveCount: '1', SentTimestamp: '1763690400000' },
  })),
} as unknown as SQSEvent;

const context = {
  functionName: 'bench',
  awsRequestId: '00000000-0000-4000-8000-000000000000',
  getRemainingTimeInMillis: () => 30_000,
} as Context;

/** A whole batch through `consume` beside a bare handler: the same schema, and one line of the same logger a record. */
export async function benchConsume(): Promise<string> {
  process.env['POWERTOOLS_SERVICE_NAME'] = 'bench';
  process.env[queueVariable(deadLetterOf(numbers).id)] = 'http://127.0.0.1:9/bench';
  const logger = new Logger();
  const { consume } = await import('../lib/platform/messaging/consume.ts');
  const sums = { ours: 0, peer: 0 };
  const handler = consume(numbers, async ({ number }) => {
    sums.ours += number;
    return 'applied';
  });
  const bare = async ({ Records }: SQSEvent) => {
    for (const { messageId, body } of Records) {
      const { number } = numbers.schema.parse(JSON.parse(body));
      sums.peer += number;
      logger.info('applied', { messageId });
    }
    return { batchItemFailures: [] };
  };
  const { lines, times } = await withoutOutput(() =>
    mediansInTurns(rounds, manyTimes(handler), manyTimes(bare)),
  );
  const batches = (rounds + 1) * batchesPerRound;
  const sum = (batches * batchSize * (batchSize - 1)) / 2;
  if (sums.ours !== sum || sums.peer !== sum || lines < 2 * batches * batchSize)
    throw new Error('Not every record was handled and logged.');
  return shown(times.ours / batchesPerRound, times.peer / batchesPerRound);
}

const manyTimes =
  (
    handler: (
      event: SQSEvent,
      context: Context,
    ) => Promise<{ readonly batchItemFailures: readonly unknown[] }>,
  ) =>
  async () => {
    for (let batch = 0; batch < batchesPerRound; batch++) {
      const { batchItemFailures } = await handler(event, context);
      if (batchItemFailures.length) throw new Error('A record failed.');
    }
  };

/** Discards log lines after they are formatted and written as in Lambda, so that no terminal is measured. */
async function withoutOutput<Times>(work: () => Promise<Times>) {
  const write = process.stdout.write;
  let lines = 0;
  process.stdout.write = ((text: string) => {
    lines += text.split('\n').length - 1;
    return true;
  }) as typeof write;
  try {
    return { times: await work(), lines };
  } finally {
    process.stdout.write = write;
  }
}

function shown(ours: number, peer: number): string {
  const [overhead, ratio] = [ours - peer, ours / peer];
  const row = [
    `a batch of ${batchSize}`,
    `${ours.toFixed(3)} ms`,
    `${peer.toFixed(3)} ms`,
    `${overhead.toFixed(3)} ms`,
    ratio.toFixed(2),
    overhead <= overheadMsMax && ratio <= ratioMax ? '✓' : '✗',
  ];
  const head = ['consuming', 'ours', 'bare', `≤ ${overheadMsMax} ms more`, `≤ ${ratioMax}`, ''];
  return `Consuming beside a bare handler with zod and a line of the same logger (medians of ${rounds})\n${table(head, [row])}`;
}
