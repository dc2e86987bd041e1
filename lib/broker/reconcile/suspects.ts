import { type Generated, type Kysely, sql, type Transaction } from 'kysely';
import type { ProfileTables } from '../tables.ts';
import type { ComparedEntity, Difference } from './comparison.ts';

/** What it keeps itself, beside what it compares. */
export interface ReconcileTables extends ProfileTables {
  'user_prop_db.broker_round': {
    round: Generated<string>;
    started_at: Generated<string>;
    ended_at: string | null;
    kind: string;
    after_id: string;
    compared: string;
    repairs: number;
  };
  'user_prop_db.broker_drift': Drift;
  'user_prop_db.broker_reported_drift': Drift;
}

interface Drift {
  kind: string;
  subject_id: string;
  state: 'suspect' | 'drift';
  upstream_hash: string | null;
  found_at: string;
}

/** A round of comparison. What it finds is kept apart from what a round of the other sort finds. */
export interface ComparisonRound {
  readonly round: string;
  /** Publishes what differs; otherwise it only reports. */
  readonly repairs: boolean;
}

/** The table of a round's drift. Both have the same columns; Kysely knows the name of one. */
export const driftTable = ({ repairs }: Pick<ComparisonRound, 'repairs'>) =>
  (repairs
    ? 'user_prop_db.broker_drift'
    : 'user_prop_db.broker_reported_drift') as 'user_prop_db.broker_drift';

/** Seen once more, after a crash before the cursor was moved or because upstream changed it, its time begins anew. */
export async function upsertSuspects(
  trx: Transaction<ReconcileTables>,
  round: ComparisonRound,
  kind: ComparedEntity,
  differences: readonly Difference[],
): Promise<void> {
  await trx
    .insertInto(driftTable(round))
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
  mysql: Kysely<ReconcileTables>,
  round: ComparisonRound,
  graceSeconds: number,
): Promise<number | undefined> {
  const { wait } = await mysql
    .selectFrom(driftTable(round))
    .select(
      sql<string | null>`timestampdiff(microsecond, now(3),
        min(found_at) + interval ${graceSeconds} second) / 1000`.as('wait'),
    )
    .where('state', '=', 'suspect')
    .executeTakeFirstOrThrow();
  return wait === null ? undefined : Math.max(0, Math.ceil(Number(wait)));
}

/** They are equal by now. */
export async function deleteSuspects(
  trx: Transaction<ReconcileTables>,
  round: ComparisonRound,
  kind: ComparedEntity,
  ids: readonly string[],
): Promise<void> {
  if (!ids.length) return;
  await trx
    .deleteFrom(driftTable(round))
    .where('kind', '=', kind)
    .where('subject_id', 'in', ids)
    .execute();
}

/** They are drift. */
export async function markAsDrift(
  trx: Transaction<ReconcileTables>,
  round: ComparisonRound,
  kind: ComparedEntity,
  ids: readonly string[],
): Promise<void> {
  if (!ids.length) return;
  await trx
    .updateTable(driftTable(round))
    .set({ state: 'drift' })
    .where('kind', '=', kind)
    .where('subject_id', 'in', ids)
    .execute();
}
