import { type Kysely, sql } from 'kysely';
import { Refused } from './refusal.ts';
import type { PlatformTables } from './schema.ts';
import type { Signature } from './signature.ts';
import { windowSeconds } from './signature-formats.ts';
import { wallTime } from './time.ts';

/** Our clock and the database's may differ by this much before a nonce is forgotten too early. */
const skewSeconds = 60;
const expiredAtOnceMax = 20;

/**
 * Remembers a nonce for as long as its request could be sent again. Throws `unauthenticated` the second time.
 * Each call forgets a few that have expired.
 */
export async function useNonce(
  { mysql }: { mysql: Kysely<PlatformTables> },
  { key, nonce, timestamp }: Signature,
): Promise<void> {
  const kept = Number(timestamp) + windowSeconds + skewSeconds;
  const row = { key_id: key, nonce, expires_at: wallTime(new Date(kept * 1000)) };
  try {
    await mysql.insertInto('signalbox.nonce').values(row).execute();
  } catch (error) {
    if (!(error instanceof Error && 'errno' in error && error.errno === 1062)) throw error;
    throw new Refused('unauthenticated', 'The nonce was used before.');
  }
  await mysql
    .deleteFrom('signalbox.nonce')
    .where('expires_at', '<', sql<string>`now()`)
    .orderBy('expires_at')
    .limit(expiredAtOnceMax)
    .execute();
}
