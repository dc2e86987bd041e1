/** Limits the requests of a caller per minute. */
import { type Kysely, sql } from 'kysely';
import type { PlatformTables } from '../tables.ts';
import { plusSeconds, wallTime } from '../time.ts';
import { Refused } from './refusal.ts';
import type { Caller } from './route.ts';

/** The maximum number of requests of one caller in a calendar minute, over all routes. */
export const callsPerMinuteMax = { signed: 6_000, person: 600 } as const;
const keptSeconds = 3_600;
const deletedAtOnceMax = 100;

/** Counts a request. Throws `too_many_requests` with the seconds that remain of the minute. */
export async function throttle(
  { mysql }: { mysql: Kysely<PlatformTables> },
  { name, may }: Caller,
  now = new Date(),
): Promise<void> {
  const minute = `${wallTime(now).slice(0, 16)}:00`;
  const counted = await mysql
    .insertInto('signalbox.call_rate')
    .values({ caller: name, minute, calls: 1 })
    .onDuplicateKeyUpdate({ calls: sql`last_insert_id(calls + 1)` })
    .executeTakeFirstOrThrow();
  // MySQL returns last_insert_id for an existing row, and none for a new row.
  const calls = Number(counted.insertId ?? 1n);
  if (calls === 1) await deleteOldCounts(mysql, plusSeconds(minute, -keptSeconds));
  const max = may.includes('signed') ? callsPerMinuteMax.signed : callsPerMinuteMax.person;
  if (calls <= max) return;
  const retryAfterSeconds = 60 - now.getSeconds();
  const message = `More than ${max} requests in a minute.`;
  throw new Refused('too_many_requests', message, { retryAfterSeconds });
}

const deleteOldCounts = (mysql: Kysely<PlatformTables>, before: string) =>
  mysql
    .deleteFrom('signalbox.call_rate')
    .where('minute', '<', before)
    .orderBy('minute')
    .limit(deletedAtOnceMax)
    .execute();
