import middy from '@middy/core';
import type { SQSBatchResponse, SQSEvent, SQSRecord } from 'aws-lambda';
import type { Kysely } from 'kysely';
import type * as z from 'zod';
import { issuesOf } from './config.ts';
import { deadLetter } from './dead-letter.ts';
import { isAway, Postponed, Rejected, textOf } from './errors.ts';
import { type Outcome, observed, report, reportFailure } from './log.ts';
import { mask } from './mask.ts';
import { postpone } from './outbox.ts';
import { deadLetterOf, type Queue } from './queue.ts';
import type { PlatformTables } from './schema.ts';
import { entriesSender } from './send.ts';

/** Deliveries after which a message that still fails is set aside by us, with its last error as the reason. */
export const attemptsMax = 3;
const recordsAtOnceMax = 10;

interface Options {
  /** Where messages wait that `handle` postpones; without it a `Postponed` is an error like any other. */
  readonly mysql?: Kysely<PlatformTables>;
}

/**
 * Makes the handler of a queue. Records of a batch run together; each is acknowledged on its own.
 *
 * | thrown by `handle`                | what becomes of the message                                        |
 * | --------------------------------- | ------------------------------------------------------------------ |
 * | `Rejected`, or the body is wrong  | a copy with the reason goes to the dead-letter queue; acknowledged |
 * | `Postponed`                       | a row of the outbox, due at that time; acknowledged                |
 * | a database is away (`isAway`)     | redelivered, as often as it takes                                  |
 * | anything else                     | redelivered; at its last attempt set aside like `Rejected`         |
 *
 * The copy, or the row, is there before the message is acknowledged: a crash between the two makes two of it, never none.
 */
export function consume<Message, Sent>(
  queue: Queue<Message, Sent>,
  handle: (message: Message) => Promise<Outcome>,
  options: Options = {},
) {
  return handlerOf(queue, options, async (records, settle) => {
    const waiting = records.values();
    const lane = async () => {
      for (const { record, message } of waiting) await settle(record, () => handle(message));
    };
    await Promise.all(Array.from({ length: recordsAtOnceMax }, lane));
  });
}

/**
 * The same where one bulk call serves many messages: `handle` gets the good messages of a batch and answers, in their
 * order, with an outcome or an error for each. What it throws counts for all of them.
 */
export function consumeBatch<Message, Sent>(
  queue: Queue<Message, Sent>,
  handle: (messages: readonly Message[]) => Promise<readonly (Outcome | Error)[]>,
  options: Options = {},
) {
  return handlerOf(queue, options, async (records, settle) => {
    if (!records.length) return;
    const together = handle(records.map(({ message }) => message));
    await Promise.all(
      records.map(({ record }, index) =>
        settle(record, async () => {
          const outcome = (await together)[index];
          if (outcome === undefined)
            throw new Error(`No outcome for message ${index} of its batch.`);
          if (outcome instanceof Error) throw outcome;
          return outcome;
        }),
      ),
    );
  });
}

interface Read<Message> {
  readonly record: SQSRecord;
  readonly message: Message;
}

function handlerOf<Message, Sent>(
  queue: Queue<Message, Sent>,
  { mysql }: Options,
  work: (
    records: readonly Read<Message>[],
    settle: (record: SQSRecord, attempt: () => Promise<Outcome>) => Promise<void>,
  ) => Promise<void>,
) {
  const setAside = entriesSender(deadLetterOf(queue));

  return middy<SQSEvent, SQSBatchResponse>()
    .use(observed)
    .handler(async ({ Records }: SQSEvent): Promise<SQSBatchResponse> => {
      const batchItemFailures: SQSBatchResponse['batchItemFailures'] = [];
      const settle = async (record: SQSRecord, attempt: () => Promise<Outcome>) => {
        if (!(await settled(record, attempt)))
          batchItemFailures.push({ itemIdentifier: record.messageId });
      };
      const good: Read<Message>[] = [];
      for (const record of Records) {
        const read = readWith(queue.schema, record.body);
        if (read instanceof Rejected) await settle(record, () => Promise.reject(read));
        else good.push({ record, message: read.message });
      }
      await work(good, settle);
      return { batchItemFailures };
    });

  /** Whether the message is done with. */
  async function settled(record: SQSRecord, attempt: () => Promise<Outcome>): Promise<boolean> {
    const receives = Number(record.attributes.ApproximateReceiveCount);
    const detail = { messageId: record.messageId, receives };
    try {
      report(await attempt(), detail);
      return true;
    } catch (error) {
      try {
        const outcome = await disposeOf(record, receives, error);
        reportFailure(outcome, detail, error);
        return outcome !== 'failed';
      } catch (cause) {
        const message = `It could not be put away (${textOf(error)})`;
        reportFailure('failed', detail, new Error(message, { cause }));
        return false;
      }
    }
  }

  async function disposeOf(record: SQSRecord, receives: number, error: unknown) {
    if (error instanceof Postponed && mysql) {
      await postpone(mysql, queue, record.body, error);
      return 'postponed';
    }
    const never = error instanceof Rejected;
    if (!never && (receives < attemptsMax || isAway(error))) return 'failed';
    await setAside([deadLetter(record, mask(textOf(error)))]);
    return never ? 'rejected' : 'given up';
  }
}

function readWith<Message, Sent>(
  schema: z.ZodType<Message, Sent>,
  body: string,
): { readonly message: Message } | Rejected {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return new Rejected('The body is not JSON.'); // JSON.parse's own text would quote the body.
  }
  const message = schema.safeParse(value);
  return message.success ? { message: message.data } : new Rejected(issuesOf(message.error));
}
