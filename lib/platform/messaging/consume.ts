/** Makes the handler of a queue: schema, concurrency, retries, dead letters and postponed messages. */
import middy from '@middy/core';
import type { Context, SQSBatchResponse, SQSEvent, SQSRecord } from 'aws-lambda';
import type { Kysely } from 'kysely';
import type * as z from 'zod';
import { isUnavailable, Postponed, Rejected, textOf } from '../errors.ts';
import { issuesOf } from '../issues.ts';
import { FieldTwice, jsonIn } from '../json.ts';
import { countFailure } from '../lambda/failures.ts';
import { currentInvocation, OutOfTime, withinTime } from '../lambda/invocation.ts';
import { type Outcome, observed, report, reportFailure } from '../lambda/log.ts';
import { mask } from '../lambda/mask.ts';
import type { PlatformTables } from '../tables.ts';
import { deadLetter } from './dead-letter.ts';
import { postpone } from './outbox.ts';
import { deadLetterOf, type Queue } from './queue.ts';
import { entriesSender } from './send.ts';
import { visibility } from './visibility.ts';

/**
 * Failures of its own after which a message is dead-lettered by us, with its last error as the reason. Deliveries that
 * end because something else is unavailable, or because the invocation dies, are none.
 */
export const attemptsMax = 3;
/** A queue keeps a message for fourteen days: what is so old is dead-lettered by us, while it still has its reason. */
const waitMsMax = 12 * 86_400_000;
/** No queue has kept a message for longer: who sees an older one has a wrong clock. */
const ageMsMax = 15 * 86_400_000;
const recordsAtOnceMax = 10;

interface Options {
  /**
   * Where messages wait that `handle` postpones, and where their failures are counted. Without it a `Postponed` is an
   * error like any other, and every delivery counts as a failure.
   */
  readonly mysql?: Kysely<PlatformTables>;
}

/**
 * Makes the handler of a queue. Records of a batch run together; each is acknowledged on its own.
 *
 * | thrown by `handle`                | what becomes of the message                                        |
 * | --------------------------------- | ------------------------------------------------------------------ |
 * | `Rejected`, or the body is wrong  | a copy with the reason goes to the dead-letter queue; acknowledged |
 * | `Postponed`                       | a row of the outbox, due at that time; acknowledged                |
 * | something is unavailable (`isAway`) | redelivered for 12 days, after growing pauses; then like `Rejected` |
 * | anything else                     | redelivered; its third failure is treated like `Rejected`          |
 * | the time-out is near              | every record that is not finished is redelivered                   |
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

/** What comes again, by what becomes of its pause. */
interface Unfinished {
  readonly unavailable: SQSRecord[];
  readonly failed: SQSRecord[];
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
  const { hideForPause, hideRetried, showAgain } = visibility();

  return middy<SQSEvent, SQSBatchResponse>()
    .use(observed)
    .handler(async ({ Records }: SQSEvent, context: Context): Promise<SQSBatchResponse> => {
      const finished = new Set<string>();
      const unfinished: Unfinished = { unavailable: [], failed: [] };
      const settle = async (record: SQSRecord, attempt: () => Promise<Outcome>) => {
        if (currentInvocation()?.over) return;
        const done = await settled(record, attempt, unfinished);
        if (done) finished.add(record.messageId);
      };
      const all = async () => {
        await hideRetried(Records, context);
        const good: Read<Message>[] = [];
        for (const record of Records) {
          const read = readWith(queue.schema, record.body);
          if (read instanceof Rejected) await settle(record, () => Promise.reject(read));
          else good.push({ record, message: read.message });
        }
        await work(good, settle);
        await hideForPause(unfinished.unavailable);
        await showAgain(unfinished.failed);
      };
      await withinTime(context, all).catch((error) => {
        if (!(error instanceof OutOfTime)) throw error;
        reportFailure('out-of-time', { unfinished: Records.length - finished.size }, error);
      });
      const batchItemFailures = Records.filter(({ messageId }) => !finished.has(messageId)).map(
        ({ messageId: itemIdentifier }) => ({ itemIdentifier }),
      );
      return { batchItemFailures };
    });

  /** Whether the message is done with. */
  async function settled(
    record: SQSRecord,
    attempt: () => Promise<Outcome>,
    { unavailable, failed }: Unfinished,
  ): Promise<boolean> {
    const receives = Number(record.attributes.ApproximateReceiveCount);
    const detail = { messageId: record.messageId, receives };
    try {
      const outcome = await attempt();
      if (currentInvocation()?.over) return false;
      report(outcome, detail);
      return true;
    } catch (error) {
      if (currentInvocation()?.over) return false; // It was reported as not finished.
      try {
        const outcome = await disposeOf(record, receives, error);
        reportFailure(outcome, detail, error);
        if (outcome === 'unavailable') unavailable.push(record);
        if (outcome === 'failed') failed.push(record);
        return outcome !== 'failed' && outcome !== 'unavailable';
      } catch (cause) {
        if (isUnavailable(cause)) unavailable.push(record);
        const message = `Could not move the message to the dead-letter queue or the outbox after: ${textOf(error)}`;
        reportFailure('failed', detail, new Error(message, { cause }));
        return false;
      }
    }
  }

  async function failuresOf({ messageId }: SQSRecord, receives: number): Promise<number> {
    return mysql ? await countFailure(mysql, messageId) : receives;
  }

  async function disposeOf(record: SQSRecord, receives: number, error: unknown) {
    if (error instanceof Postponed && mysql) {
      await postpone(mysql, queue, record.body, error);
      return 'postponed';
    }
    const never = error instanceof Rejected;
    const old = !never && isOld(record);
    if (!never && !old) {
      if (isUnavailable(error)) return 'unavailable';
      if ((await failuresOf(record, receives)) < attemptsMax) return 'failed';
    }
    const why = `${old ? 'After 12 days: ' : ''}${textOf(error)}`;
    await setAside([deadLetter(record, mask(why))]);
    return never ? 'rejected' : 'given-up';
  }
}

function isOld({ attributes }: SQSRecord): boolean {
  const ageMs = Date.now() - Number(attributes.SentTimestamp);
  return ageMs >= waitMsMax && ageMs < ageMsMax;
}

function readWith<Message, Sent>(
  schema: z.ZodType<Message, Sent>,
  body: string,
): { readonly message: Message } | Rejected {
  let value: unknown;
  try {
    value = jsonIn(body);
  } catch (error) {
    if (error instanceof FieldTwice) return new Rejected(error.message);
    return new Rejected('The body is not JSON.'); // JSON.parse's own text would quote the body.
  }
  const message = schema.safeParse(value);
  return message.success ? { message: message.data } : new Rejected(issuesOf(message.error));
}
