import { type Generated, type Kysely, sql, type Transaction } from 'kysely';
import type { Difference, Kind } from './comparison.ts';
import type { ProfileTables } from './tables.ts';

/** What it keeps itself, beside what it compares. */
export interface RoundTables extends ProfileTables {
  'user_prop_db.broker_round': {
    round: Generated<string>;
    started_at: Generated<string>;
    ended_at: string | null;
    kind: string;
    after_id: string;
    compared: string;
  };
  'user_prop_db.broker_drift': {
    kind: string;
    subject_id: string;
    state: 'suspect' | 'drift';
    upstream_hash: string | null;
    found_at: string;
  };
}

/** Seen once more, after a crash before the cursor was moved or because upstream changed it, its time begins anew. */
export async function suspect(
  trx: Transaction<RoundTables>,
  kind: Kind,
  differences: readonly Difference[],
): Promise<void> {
  await trx
    .insertInto('user_prop_db.broker_drift')
    .values(
      differences.map(({ id, upstreamHash }) => ({
        ...{ kind, subject_id: id, state: 'suspect' as const, upstream_hash: upstreamHash },
        found_at: sql<string>`now(3)`,
      })),
    )
    .onDuplicateKeyUpdate({
      upstream_hash: sql`values(upstream_hash)`,
      found_at: sql`values(found_at)`,
    })
    .execute();
}

/** How long until the oldest suspect's time has come; undefined where there is none. */
export async function nextSuspectMs(
  mysql: Kysely<RoundTables>,
  graceSeconds: number,
): Promise<number | undefined> {
  const { wait } = await mysql
    .selectFrom('user_prop_db.broker_drift')
    .select(
      sql<string | null>`timestampdiff(microsecond, now(3),
        min(found_at) + interval ${graceSeconds} second) / 1000`.as('wait'),
    )
    .where('state', '=', 'suspect')
    .executeTakeFirstOrThrow();
  return wait === null ? undefined : Math.max(0, Math.ceil(Number(wait)));
}

/** They are equal by now. */
export async function forget(
  trx: Transaction<RoundTables>,
  kind: Kind,
  ids: readonly string[],
): Promise<void> {
  if (!ids.length) return;
  await trx
    .deleteFrom('user_prop_db.broker_drift')
    .where('kind', '=', kind)
    .where('subject_id', 'in', ids)
    .execute();
}

/** They are drift. */
export async function confirm(
  trx: Transaction<RoundTables>,
  kind: Kind,
  ids: readonly string[],
): Promise<void> {
  if (!ids.length) return;
  await trx
    .updateTable('user_prop_db.broker_drift')
    .set({ state: 'drift' })
    .where('kind', '=', kind)
    .where('subject_id', 'in', ids)
    .execute();
}
