/** Sets how long failed messages stay invisible. */
import { ChangeMessageVisibilityBatchCommand } from '@aws-sdk/client-sqs';
import type { SQSRecord } from 'aws-lambda';
import { reportFailure } from '../lambda/log.ts';
import { queueUrlAt, sqsClient } from './send.ts';

const shortestSeconds = 5;
/** After an outage of whatever length no message waits longer than this. 1,000 deliveries then last a fortnight. */
const longestSeconds = 1_200;
/** From this delivery on something lasts: the pause is set before the work, whatever will become of it. */
const lastingReceives = 4;
const entriesPerRequestMax = 10;
const spareSeconds = 5;
const failureSeconds = 30;

/** Pause after a delivery in which something was unavailable: each time twice as long. */
export const pauseSeconds = (receives: number): number =>
  Math.min(shortestSeconds * 2 ** Math.max(0, receives - 1), longestSeconds);

/** How a consumer makes messages come again later than its queue would give them. */
export interface Visibility {
  /** Hides messages for the pause that follows a delivery in which something was unavailable. */
  readonly hideForPause: (records: readonly SQSRecord[]) => Promise<void>;
  /** Ends the pause that `hideRetried` has set: the messages failed by their own fault. */
  readonly showAgain: (records: readonly SQSRecord[]) => Promise<void>;
  /**
   * Does the same, for messages that have come several times, before they are worked on: where the process dies, or
   * the time is over, nobody could do it afterwards, and the thousand deliveries would be used up in hours.
   */
  readonly hideRetried: (
    records: readonly SQSRecord[],
    context: { readonly getRemainingTimeInMillis: () => number },
  ) => Promise<void>;
}

/** Where it fails the pause is the queue's own: that is a delay, and no reason to fail. */
export function visibility(): Visibility {
  let url: Promise<string> | undefined;

  async function hide(
    records: readonly SQSRecord[],
    secondsFor: (receives: number) => number,
  ): Promise<void> {
    const [first] = records;
    if (!first) return;
    try {
      url ??= queueUrlAt(first.eventSourceARN);
      const QueueUrl = await url;
      for (let start = 0; start < records.length; start += entriesPerRequestMax) {
        const part = records.slice(start, start + entriesPerRequestMax);
        const Entries = part.map((record, index) => ({
          Id: String(index),
          ReceiptHandle: record.receiptHandle,
          VisibilityTimeout: secondsFor(receivesOf(record)),
        }));
        await sqsClient().send(new ChangeMessageVisibilityBatchCommand({ QueueUrl, Entries }));
      }
    } catch (error) {
      url = undefined;
      reportFailure('pause-not-set', { messages: records.length }, error);
    }
  }

  return {
    hideForPause: (records) => hide(records, pauseSeconds),
    showAgain: (records) => hide(records.filter(isRetried), () => failureSeconds),
    hideRetried: (records, context) => {
      const workSeconds = Math.ceil(context.getRemainingTimeInMillis() / 1000) + spareSeconds;
      return hide(records.filter(isRetried), (receives) =>
        Math.max(pauseSeconds(receives), workSeconds),
      );
    },
  };
}

const receivesOf = ({ attributes }: SQSRecord) => Number(attributes.ApproximateReceiveCount);
const isRetried = (record: SQSRecord) => receivesOf(record) >= lastingReceives;
