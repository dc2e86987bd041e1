/** Rows of a reconciliation round that differ from upstream: suspects at first, drift after the grace period. */
import { type Generated, type Kysely, sql, type Transaction } from 'kysely';
import type { ProfileTables } from '../tables.ts';
import type { ComparedEntity, Difference } from './comparison.ts';

/** The tables of reconciliation itself, and those that it compares. */
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

/** One full comparison. Rounds that repair and rounds that only report store their findings separately. */
export interface ComparisonRound {
  readonly round: string;
  /** True: publishes drift. False: only reports it. */
  readonly repairs: boolean;
}

/** Returns the table of a round's findings. Both tables have the same columns; to Kysely it is always the first. */
export const driftTable = ({ repairs }: Pick<ComparisonRound, 'repairs'>) =>
  (repairs
    ? 'user_prop_db.broker_drift'
    : 'user_prop_db.broker_reported_drift') as 'user_prop_db.broker_drift';

/**
 * Inserts suspects. A suspect that is found again, after a crash or because upstream changed the row, restarts its
 * grace period.
 */
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
        kind,
        subject_id: id,
        state: 'suspect' as const,
        upstream_hash: upstreamHash,
        found_at: sql<string>`now(3)`,
      })),
    )
    .onDuplicateKeyUpdate({
      upstream_hash: sql`values(upstream_hash)`,
      found_at: sql`values(found_at)`,
    })
    .execute();
}

/** Returns the milliseconds until the oldest suspect's grace period ends; `undefined` if there is no suspect. */
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

/** Deletes suspects that equal upstream by now. */
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

/** Marks suspects as drift. */
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
