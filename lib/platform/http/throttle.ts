import { type Kysely, sql } from 'kysely';
import type { PlatformTables } from '../tables.ts';
import { plusSeconds, wallTime } from '../time.ts';
import { Refused } from './refusal.ts';
import type { Caller } from './route.ts';

/** Requests of one caller in one minute of the clock, over all routes. */
export const callsPerMinuteMax = { signed: 6_000, person: 600 } as const;
const keptSeconds = 3_600;
const forgottenAtOnceMax = 100;

/** Counts a call. Throws `too_many_requests` with the seconds that are left of the minute. */
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
  // MySQL answers with last_insert_id where the row was there, and with none where it is new.
  const calls = Number(counted.insertId ?? 1n);
  if (calls === 1) await forget(mysql, plusSeconds(minute, -keptSeconds));
  const max = may.includes('signed') ? callsPerMinuteMax.signed : callsPerMinuteMax.person;
  if (calls <= max) return;
  const retryAfterSeconds = 60 - now.getSeconds();
  const message = `More than ${max} requests in a minute.`;
  throw new Refused('too_many_requests', message, { retryAfterSeconds });
}

const forget = (mysql: Kysely<PlatformTables>, before: string) =>
  mysql
    .deleteFrom('signalbox.call_rate')
    .where('minute', '<', before)
    .orderBy('minute')
    .limit(forgottenAtOnceMax)
    .execute();
