import { ChangeMessageVisibilityBatchCommand } from '@aws-sdk/client-sqs';
import type { SQSRecord } from 'aws-lambda';
import { reportFailure } from './log.ts';
import { queueUrlAt, sqsClient } from './send.ts';

const shortestSeconds = 5;
/** After an outage of whatever length no message waits longer than this. 1,000 deliveries then last a fortnight. */
export const longestSeconds = 1_200;
/** From this delivery on something lasts: the pause is set before the work, whatever will become of it. */
const lastingReceives = 4;
const entriesPerRequestMax = 10;
const spareSeconds = 5;

/** Pause after a delivery in which something was unavailable: each time twice as long. */
export const pauseSeconds = (receives: number): number =>
  Math.min(shortestSeconds * 2 ** Math.max(0, receives - 1), longestSeconds);

/** Hides messages for the pause that follows this delivery. */
export async function hideWhileUnavailable(records: readonly SQSRecord[]): Promise<void> {
  await hide(records, pauseSeconds);
}

/**
 * Does the same for messages that have come several times, before they are worked on: where the process dies, or the
 * time is over, nobody could do it afterwards, and the thousand deliveries would be used up in hours.
 */
export async function hideRetried(
  records: readonly SQSRecord[],
  context: { readonly getRemainingTimeInMillis: () => number },
): Promise<void> {
  const workSeconds = Math.ceil(context.getRemainingTimeInMillis() / 1000) + spareSeconds;
  const retried = records.filter((record) => receivesOf(record) >= lastingReceives);
  await hide(retried, (receives) => Math.max(pauseSeconds(receives), workSeconds));
}

const receivesOf = ({ attributes }: SQSRecord) => Number(attributes.ApproximateReceiveCount);

/** Where it fails the pause is the queue's own: that is a delay, and no reason to fail. */
async function hide(
  records: readonly SQSRecord[],
  secondsFor: (receives: number) => number,
): Promise<void> {
  const [first] = records;
  if (!first) return;
  try {
    const QueueUrl = await queueUrlAt(first.eventSourceARN);
    for (let start = 0; start < records.length; start += entriesPerRequestMax) {
      const Entries = records.slice(start, start + entriesPerRequestMax).map((record, index) => ({
        Id: String(index),
        ReceiptHandle: record.receiptHandle,
        VisibilityTimeout: secondsFor(receivesOf(record)),
      }));
      await sqsClient().send(new ChangeMessageVisibilityBatchCommand({ QueueUrl, Entries }));
    }
  } catch (error) {
    reportFailure('pause not set', { messages: records.length }, error);
  }
}
