import middy from '@middy/core';
import type { SQSBatchResponse, SQSEvent, SQSRecord } from 'aws-lambda';
import type * as z from 'zod';
import { issuesOf } from './config.ts';
import { isAway, Rejected, textOf } from './errors.ts';
import { type Outcome, observed, report, reportFailure } from './log.ts';
import { mask } from './mask.ts';
import { deadLetterOf, type Queue } from './queue.ts';
import { type Entry, entriesSender } from './send.ts';

/** Deliveries after which a message that still fails is set aside by us, with its last error as the reason. */
export const attemptsMax = 3;
const recordsAtOnceMax = 10;
const reasonLengthMax = 1000;

/**
 * Makes the handler of a queue. Records of a batch run together; each is acknowledged on its own.
 *
 * | thrown by `handle`                | what becomes of the message                                        |
 * | --------------------------------- | ------------------------------------------------------------------ |
 * | `Rejected`, or the body is wrong  | a copy with the reason goes to the dead-letter queue; acknowledged |
 * | a database is away (`isAway`)     | redelivered, as often as it takes                                  |
 * | anything else                     | redelivered; at its last attempt set aside like `Rejected`         |
 *
 * The copy is sent before the message is acknowledged, so a crash between the two sets it aside twice, never never.
 */
export function consume<Message, Sent>(
  queue: Queue<Message, Sent>,
  handle: (message: Message) => Promise<Outcome>,
) {
  const setAside = entriesSender(deadLetterOf(queue));

  return middy<SQSEvent, SQSBatchResponse>()
    .use(observed)
    .handler(async ({ Records }: SQSEvent): Promise<SQSBatchResponse> => {
      const batchItemFailures: SQSBatchResponse['batchItemFailures'] = [];
      const waiting = Records.values();
      const lane = async () => {
        for (const record of waiting)
          if (!(await settled(record)))
            batchItemFailures.push({ itemIdentifier: record.messageId });
      };
      await Promise.all(Array.from({ length: recordsAtOnceMax }, lane));
      return { batchItemFailures };
    });

  /** Whether the message is done with. */
  async function settled(record: SQSRecord): Promise<boolean> {
    const receives = Number(record.attributes.ApproximateReceiveCount);
    const detail = { messageId: record.messageId, receives };
    try {
      report(await handle(read(queue.schema, record.body)), detail);
      return true;
    } catch (error) {
      const never = error instanceof Rejected;
      if (!never && (receives < attemptsMax || isAway(error))) {
        reportFailure('failed', detail, error);
        return false;
      }
      return await aside(record, never ? 'rejected' : 'given up', error);
    }
  }

  async function aside(record: SQSRecord, outcome: string, error: unknown): Promise<boolean> {
    const detail = { messageId: record.messageId };
    try {
      await setAside([deadLetter(record, mask(textOf(error)))]);
      reportFailure(outcome, detail, error);
      return true;
    } catch (cause) {
      reportFailure('failed', detail, new Error(`Not set aside (${textOf(error)})`, { cause }));
      return false;
    }
  }
}

function deadLetter({ messageId, body, attributes }: SQSRecord, reason: string): Entry {
  const text = (StringValue: string) => ({ DataType: 'String', StringValue });
  return {
    MessageBody: body,
    MessageAttributes: {
      reason: text(reason.slice(0, reasonLengthMax) || 'no reason'),
      messageId: text(messageId),
      sentAt: text(attributes.SentTimestamp),
    },
  };
}

function read<Message, Sent>(schema: z.ZodType<Message, Sent>, body: string): Message {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    throw new Rejected('The body is not JSON.'); // JSON.parse's own text would quote the body.
  }
  const message = schema.safeParse(value);
  if (message.success) return message.data;
  throw new Rejected(issuesOf(message.error));
}
