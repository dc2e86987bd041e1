/** Stores the nonces of signed requests, so that each is accepted once. */
import { type Kysely, sql } from 'kysely';
import type { PlatformTables } from '../tables.ts';
import { wallTime } from '../time.ts';
import { Refused } from './refusal.ts';
import type { Signature } from './signature.ts';
import { windowSeconds } from './signature-formats.ts';

/** The maximum difference between our clock and the database's. A larger one would delete a nonce too early. */
const skewSeconds = 60;
const deletedAtOnceMax = 20;

/**
 * Stores a nonce for as long as its request could be replayed. Throws `unauthenticated` if it is already stored. Each
 * call deletes a few expired nonces.
 */
export async function useNonce(
  { mysql }: { mysql: Kysely<PlatformTables> },
  { key, nonce, timestamp }: Signature,
): Promise<void> {
  const expiresAt = Number(timestamp) + windowSeconds + skewSeconds;
  const row = { key_id: key, nonce, expires_at: wallTime(new Date(expiresAt * 1000)) };
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
    .limit(deletedAtOnceMax)
    .execute();
}
