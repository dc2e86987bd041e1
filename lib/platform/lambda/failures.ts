/** Counts the failures of a message that the message itself has caused. */
import { type Kysely, sql } from 'kysely';
import type { PlatformTables } from '../tables.ts';

/** Longer than a queue keeps a message: after that its id cannot come again. */
const keptDays = 15;
const deletedAtOnceMax = 100;

/**
 * Counts a failure that the message itself caused, and returns the number of such failures. The receive count of SQS
 * is no substitute: it includes deliveries in which a database was unavailable, the invocation timed out, or another
 * message of the batch failed.
 */
export async function countFailure(
  mysql: Kysely<PlatformTables>,
  messageId: string,
): Promise<number> {
  await mysql
    .insertInto('signalbox.message_failure')
    .values({ message_id: messageId, failures: 1 })
    .onDuplicateKeyUpdate({
      failures: sql<number>`failures + 1`,
      failed_at: sql<string>`current_timestamp`,
    })
    .execute();
  const row = await mysql
    .selectFrom('signalbox.message_failure')
    .select('failures')
    .where('message_id', '=', messageId)
    .executeTakeFirstOrThrow();
  await sql`delete from signalbox.message_failure
    where failed_at < now() - interval ${sql.lit(keptDays)} day limit ${sql.lit(deletedAtOnceMax)}`.execute(
    mysql,
  );
  return Number(row.failures);
}
