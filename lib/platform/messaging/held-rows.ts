/** Releases rows of the outbox that a kill switch held. */
import { type Kysely, sql, type Transaction } from 'kysely';
import type { PlatformTables } from '../tables.ts';

/** Rows that one transaction releases, so that it takes a moment, however many wait. */
export const releasedAtOnceMax = 1_000;
/** How many switches one pass over the held rows checks. */
const switchesMax = 100;

/** Releases rows that a switch holds, the earliest due first: due now, in a new version. Returns how many. */
export async function release(trx: Transaction<PlatformTables>, name: string): Promise<number> {
  const { numAffectedRows = 0n } = await sql`
    update signalbox.outbox set held_by = null, due_at = now(3), version = version + 1
    where held_by = ${name} order by due_at limit ${releasedAtOnceMax}`.execute(trx);
  return Number(numAffectedRows);
}

/** The same, unless the switch is off. Turning it off waits until this transaction ends. */
export async function releaseIfOn(trx: Transaction<PlatformTables>, name: string): Promise<number> {
  const row = await trx
    .selectFrom('signalbox.switch')
    .select('state')
    .where('name', '=', name)
    .forShare()
    .executeTakeFirst();
  return row?.state === 'on' ? await release(trx, name) : 0;
}

/**
 * Releases what is still held by switches that were lifted, because a crash may have kept a lifting from releasing all
 * of its rows. One portion of each switch is released.
 */
export async function releaseLifted(mysql: Kysely<PlatformTables>): Promise<void> {
  for (const { name, state } of await holders(mysql))
    if (state === 'on') await mysql.transaction().execute((trx) => releaseIfOn(trx, name));
}

/** The switches that hold rows, with their states. Each costs one step in the index, however many rows it holds. */
export async function holders(
  mysql: Kysely<PlatformTables>,
): Promise<readonly { readonly name: string; readonly state: string | null }[]> {
  const found: { readonly name: string; readonly state: string | null }[] = [];
  for (let after = ''; found.length < switchesMax; ) {
    const { rows } = await sql<{ name: string; state: string | null }>`
      select held_by name, (select state from signalbox.switch where name = held_by) state
      from signalbox.outbox force index (by_due)
      where held_by > ${after} order by held_by limit 1`.execute(mysql);
    const [first] = rows;
    if (!first) break;
    found.push(first);
    after = first.name;
  }
  return found;
}
