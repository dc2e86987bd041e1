/** Leases with fencing tokens, in the table `signalbox.claim`. */
import { type Kysely, sql, type Transaction } from 'kysely';
import type { PlatformTables } from '../tables.ts';

/**
 * A lease: time-limited ownership of work. The fencing token protects writes, not the time: a process may be frozen
 * beyond the end of its lease. The column of the token is `epoch`.
 */
export interface Lease {
  readonly name: string;
  readonly fencingToken: string;
  /** Extends the lease; false if another worker has acquired it since. */
  readonly renew: () => Promise<boolean>;
  /** Ends the lease before its time. */
  readonly release: () => Promise<void>;
}

/** Thrown by a write whose lease another worker has acquired: its transaction is rolled back. */
export class LeaseLost extends Error {
  override readonly name = 'LeaseLost';
}

/** Acquires the lease for `leaseSeconds` by the database's clock; undefined while another worker holds it. */
export async function acquireLease(
  mysql: Kysely<PlatformTables>,
  name: string,
  leaseSeconds: number,
): Promise<Lease | undefined> {
  await mysql
    .insertInto('signalbox.claim')
    .ignore()
    .values({ name, epoch: '0', held_until: '2000-01-01 00:00:00' })
    .execute();
  const lease = sql<string>`now(3) + interval ${leaseSeconds} second`;
  const epoch = await mysql.transaction().execute(async (trx) => {
    const row = await trx
      .selectFrom('signalbox.claim')
      .select(['epoch', sql<number | string>`held_until <= now(3)`.as('free')])
      .where('name', '=', name)
      .forUpdate()
      .executeTakeFirstOrThrow();
    if (Number(row.free) !== 1) return undefined;
    const next = String(BigInt(row.epoch) + 1n);
    await trx
      .updateTable('signalbox.claim')
      .set({ epoch: next, held_until: lease })
      .where('name', '=', name)
      .execute();
    return next;
  });
  if (epoch === undefined) return undefined;
  const move = async (held_until: typeof lease): Promise<boolean> => {
    const { numUpdatedRows } = await mysql
      .updateTable('signalbox.claim')
      .set({ held_until })
      .where('name', '=', name)
      .where('epoch', '=', epoch)
      .executeTakeFirst();
    return numUpdatedRows > 0n;
  };
  return {
    name,
    fencingToken: epoch,
    renew: () => move(lease),
    release: async () => void (await move(sql<string>`now(3)`)),
  };
}

/**
 * Throws `LeaseLost` unless the lease is still held. It must be the first statement of every transaction under a lease:
 * the row stays locked until the commit, so no worker can acquire the lease between this check and the writes.
 */
export async function assertLeaseHeld(
  trx: Transaction<PlatformTables>,
  { name, fencingToken: epoch }: Pick<Lease, 'name' | 'fencingToken'>,
): Promise<void> {
  const row = await trx
    .selectFrom('signalbox.claim')
    .select('epoch')
    .where('name', '=', name)
    .forShare()
    .executeTakeFirst();
  if (row?.epoch === epoch) return;
  throw new LeaseLost(
    `Another worker has acquired the lease ${name} (fencing token ${row?.epoch}, ours ${epoch}).`,
  );
}
