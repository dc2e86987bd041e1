import { type Kysely, sql } from 'kysely';
import { type Claim, claim } from './claim.ts';
import { inTransaction } from './mysql.ts';
import { type Deliver, deliverRows, type OutboxRow } from './outbox.ts';
import type { Tick } from './schedule.ts';
import type { PlatformTables } from './schema.ts';
import type { PlatformSettings } from './settings.ts';

const lookEveryMs = 2_000;
const leaseSeconds = 10;
/** With less than this left no further look is begun: a look's sending must end before the time-out. */
const endMs = 5_000;
/**
 * How long a row that was taken stays out of sight, should its sender die or be refused. An invalidation must have
 * been made within ten seconds of the cache's being back.
 */
const takenSeconds = { invalidations: 4, others: 30 } as const;
const rowsPerTakeMax = 500;
const takesPerLookMax = 100;

export interface DeliveryDeps {
  readonly mysql: Kysely<PlatformTables>;
  readonly deliver: Deliver;
  readonly settings: () => Promise<PlatformSettings>;
  readonly pause: (ms: number) => Promise<void>;
}

type Kind = keyof typeof takenSeconds;

/**
 * Sends what is due in the outbox until the next run takes over: what a writer could not send itself, and what was
 * postponed. One run at a time, so that the limit per minute is one; invalidations go first and are not limited.
 */
export async function deliverDue(deps: DeliveryDeps, { remaining }: Pick<Tick, 'remaining'>) {
  const { settings, pause } = deps;
  const claimed = await claimInTime(deps, remaining);
  if (!claimed) return { outcome: 'another delivers', delivered: 0 };
  let delivered = 0;
  let failed = 0;
  try {
    // A whole pause follows each look: a shorter last one would give the minute of a handover one look too many.
    while (remaining() > endMs) {
      if (!(await claimed.renew())) return { outcome: 'overtaken', delivered, failed };
      const { deliveriesPerMinuteMax } = await settings();
      const perLookMax = Math.ceil((deliveriesPerMinuteMax * lookEveryMs) / 60_000);
      for (const [kind, max] of [
        ['invalidations', rowsPerTakeMax * takesPerLookMax],
        ['others', perLookMax],
      ] as const) {
        const sent = await deliverKind(deps, kind, max);
        delivered += sent.delivered;
        failed += sent.failed;
      }
      await pause(lookEveryMs);
    }
  } finally {
    await claimed.release();
  }
  return { outcome: delivered ? 'delivered' : 'nothing due', delivered, failed };
}

/** The run before this one may have seconds left: its successor waits for it, or a minute would have nobody. */
async function claimInTime(
  { mysql, pause }: DeliveryDeps,
  remaining: () => number,
): Promise<Claim | undefined> {
  while (remaining() > endMs) {
    const claimed = await claim(mysql, 'platform/deliver-due', leaseSeconds);
    if (claimed) return claimed;
    await pause(1_000);
  }
  return undefined;
}

async function deliverKind({ mysql, deliver }: DeliveryDeps, kind: Kind, max: number) {
  let delivered = 0;
  let taken = 0;
  while (taken < max) {
    const limit = Math.min(rowsPerTakeMax, max - taken);
    const rows = await take(mysql, kind, limit);
    taken += rows.length;
    const sent = rows.length ? await deliverRows(mysql, deliver, rows) : 0;
    delivered += sent;
    // Where nothing of it was taken the other side is away: the next look will do, and costs one time-out.
    if (rows.length < limit || !sent) break;
  }
  return { delivered, failed: taken - delivered };
}

/** Moves rows out of sight for as long as their sending may take; no lock is held while they are sent. */
async function take(
  mysql: Kysely<PlatformTables>,
  kind: Kind,
  limit: number,
): Promise<OutboxRow[]> {
  return await inTransaction(mysql, async (trx) => {
    const rows = await trx
      .selectFrom('signalbox.outbox')
      .select(['id', 'destination', 'body', 'version'])
      .where('held_by', 'is', null)
      .where('due_at', '<=', sql<string>`now(3)`)
      .where('destination', kind === 'invalidations' ? 'like' : 'not like', 'invalidate%')
      .orderBy('due_at')
      .limit(limit)
      .forUpdate()
      .skipLocked()
      .execute();
    const until = sql<string>`now(3) + interval ${takenSeconds[kind]} second`;
    if (rows.length)
      await trx
        .updateTable('signalbox.outbox')
        .set({ due_at: until, taken_until: until })
        .where(
          'id',
          'in',
          rows.map(({ id }) => id),
        )
        .execute();
    return rows;
  });
}
