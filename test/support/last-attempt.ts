import type { SQSRecord } from 'aws-lambda';
import { attemptsMax } from '../../lib/platform/messaging/consume.ts';
import { run } from './databases.ts';
import { sqsRecord } from './lambda.ts';

/** A message that has failed so often that its next failure is its last. */
export async function onLastAttempt(body: unknown): Promise<SQSRecord> {
  const record = sqsRecord(body, attemptsMax);
  await run('insert into signalbox.message_failure (message_id, failures) values (?, ?)', [
    record.messageId,
    attemptsMax - 1,
  ]);
  return record;
}
