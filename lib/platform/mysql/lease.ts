import { type Kysely, sql, type Transaction } from 'kysely';
import type { PlatformTables } from '../tables.ts';

/** A lease on some work. Its epoch, not its time, is what protects: a process may sleep through its time. */
export interface Lease {
  readonly name: string;
  readonly fencingToken: string;
  /** Moves the end of the lease on; false where another has taken the claim meanwhile. */
  readonly renew: () => Promise<boolean>;
  /** Lets the next one in before the lease is over. */
  readonly release: () => Promise<void>;
}

/** Thrown by a write under a claim that another has taken: nothing of its transaction is kept. */
export class LeaseLost extends Error {
  override readonly name = 'LeaseLost';
}

/** Takes the claim for `leaseSeconds` by the database's clock; undefined while another holds it. */
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
 * Makes a transaction fail unless the claim is still held. It is the first statement of every transaction under a
 * claim: the row stays locked until the commit, so nobody can take the claim between this check and what it protects.
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
    `The claim ${name} was taken by another (epoch ${row?.epoch}, ours ${epoch}).`,
  );
}
