import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Context, SQSBatchResponse, SQSEvent, SQSRecord } from 'aws-lambda';
import { root } from '../../local/root.ts';

/** A sample event: a whole Lambda event from events/. */
export function eventOf<Event>(id: string, name: string): Event {
  return JSON.parse(readFileSync(join(root, 'events', id, `${name}.json`), 'utf8')) as Event;
}

/** A record as SQS gives it to Lambda. A body that is no string is sent as JSON. */
export function sqsRecord(body: unknown, receives = 1): SQSRecord {
  const now = String(Date.now());
  return {
    messageId: randomUUID(),
    receiptHandle: 'handle',
    body: typeof body === 'string' ? body : JSON.stringify(body),
    attributes: {
      ApproximateReceiveCount: String(receives),
      ApproximateFirstReceiveTimestamp: now,
      SentTimestamp: now,
      SenderId: 'AIDA',
    },
    messageAttributes: {},
    md5OfBody: '',
    eventSource: 'aws:sqs',
    eventSourceARN: 'arn:aws:sqs:us-east-1:000000000000:test',
    awsRegion: 'us-east-1',
  };
}

export const sqsEvent = (...bodies: unknown[]): SQSEvent => ({
  Records: bodies.map((body) => sqsRecord(body)),
});

/** The context of an invocation that may run for so many milliseconds, or until `remaining` says that it is over. */
export function contextOf(time: number | { readonly remaining: () => number } = 30_000): Context {
  const { remaining } = typeof time === 'number' ? timeOf(time) : time;
  return {
    functionName: 'test',
    functionVersion: '$LATEST',
    invokedFunctionArn: 'arn:aws:lambda:us-east-1:000000000000:function:test',
    memoryLimitInMB: '512',
    awsRequestId: '00000000-0000-4000-8000-000000000000',
    logGroupName: '/signalbox/test',
    logStreamName: 'test',
    callbackWaitsForEmptyEventLoop: false,
    getRemainingTimeInMillis: remaining,
    done: () => {},
    fail: () => {},
    succeed: () => {},
  };
}

function timeOf(ms: number) {
  const end = Date.now() + ms;
  return { remaining: () => end - Date.now() };
}

/** The indexes of the records that would be redelivered. */
export function redelivered(
  { Records }: SQSEvent,
  { batchItemFailures }: SQSBatchResponse,
): number[] {
  const failed = new Set(batchItemFailures.map(({ itemIdentifier }) => itemIdentifier));
  return Records.flatMap(({ messageId }, index) => (failed.has(messageId) ? [index] : []));
}
