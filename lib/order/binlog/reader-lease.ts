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
const takeOverEveryMs = 100;
/** With less than this left nothing further is read: what was read must still be written. */
export const endMs = 5_000;

/** The lease of who waits for the reader's own: while it is held the reader is asked to yield. */
const askerName = `${readerName}:next`;

/** Asks who holds the lease to yield, and waits for it. One asks at a time; a second one leaves. */
export async function acquireReaderLease(
  { mysql: own, pause }: LeaseDeps,
  remaining: () => number,
): Promise<Lease | undefined> {
  const mysql = own as unknown as Kysely<PlatformTables>;
  const free = await acquireLease(mysql, readerName, leaseSeconds);
  if (free) return free;
  const asking = await acquireLease(mysql, askerName, leaseSeconds);
  if (!asking) return undefined;
  try {
    for (const renewing = intervalElapsed(remaining, renewEveryMs); remaining() > endMs; ) {
      if (renewing() && !(await asking.renew())) return undefined;
      const yielded = await acquireLease(mysql, readerName, leaseSeconds);
      if (yielded) return yielded;
      await pause(takeOverEveryMs);
    }
    return undefined;
  } finally {
    await asking.release();
  }
}

/** True once in so many milliseconds, told by the time that remains. */
export function intervalElapsed(remaining: () => number, ms: number): () => boolean {
  let last = remaining();
  return () => {
    if (last - remaining() < ms) return false;
    last = remaining();
    return true;
  };
}

export async function handoverRequested(mysql: Kysely<PushTables>): Promise<boolean> {
  const asker = await mysql
    .selectFrom('signalbox.claim')
    .select('epoch')
    .where('name', '=', askerName)
    .where('held_until', '>', sql<string>`now(3)`)
    .executeTakeFirst();
  return asker !== undefined;
}
