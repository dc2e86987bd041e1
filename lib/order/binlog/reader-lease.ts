/** Acquires the lease of the binlog reader, and asks its holder to hand it over. */
import { type Kysely, sql } from 'kysely';
import { acquireLease, type Lease } from '../../platform/mysql/lease.ts';
import type { PlatformTables } from '../../platform/tables.ts';
import { readerName } from '../checkpoints.ts';
import type { PushTables } from '../tables.ts';

export interface LeaseDeps {
  readonly mysql: Kysely<PushTables>;
  readonly pause: (ms: number) => Promise<void>;
}

export const leaseSeconds = 10;
export const renewEveryMs = 3_000;
const acquireEveryMs = 100;
/** Reading stops when less time than this remains, so that what was read can still be written. */
export const endMs = 5_000;

/** The lease of the next reader: while somebody holds it, the present reader is asked to yield. */
const successorName = `${readerName}:next`;

/**
 * Acquires the reader's lease. If another reader holds it, asks for a handover and waits. Returns
 * undefined if somebody else waits already, or time runs out.
 */
export async function acquireReaderLease(
  { mysql: own, pause }: LeaseDeps,
  remaining: () => number,
): Promise<Lease | undefined> {
  const mysql = own as unknown as Kysely<PlatformTables>;
  const free = await acquireLease(mysql, readerName, leaseSeconds);
  if (free) return free;
  const successor = await acquireLease(mysql, successorName, leaseSeconds);
  if (!successor) return undefined;
  try {
    for (const renewalDue = intervalElapsed(remaining, renewEveryMs); remaining() > endMs; ) {
      if (renewalDue() && !(await successor.renew())) return undefined;
      const yielded = await acquireLease(mysql, readerName, leaseSeconds);
      if (yielded) return yielded;
      await pause(acquireEveryMs);
    }
    return undefined;
  } finally {
    await successor.release();
  }
}

/** Returns a function that is true once per `ms`. It measures time by `remaining`. */
export function intervalElapsed(remaining: () => number, ms: number): () => boolean {
  let last = remaining();
  return () => {
    if (last - remaining() < ms) return false;
    last = remaining();
    return true;
  };
}

export async function handoverRequested(mysql: Kysely<PushTables>): Promise<boolean> {
  const row = await mysql
    .selectFrom('signalbox.claim')
    .select('epoch')
    .where('name', '=', successorName)
    .where('held_until', '>', sql<string>`now(3)`)
    .executeTakeFirst();
  return row !== undefined;
}
