/** Applies one entity of upstream (brokers, companies, stores, talents) to its user-facing table. */
import { type Kysely, sql } from 'kysely';
import { type Deliver, toBus, transactionWithOutbox } from '../../platform/messaging/outbox.ts';
import { brokerApplied } from '../events.ts';
import type { Source } from '../queues.ts';
import type { ProfileTables, UpstreamTables } from '../tables.ts';
import { type ApplyResult, applyInHalves } from './apply-in-halves.ts';
import { invalidations } from './invalidations.ts';
import {
  inLockOrder,
  type SourceRow,
  type SyncedTable,
  syncRows,
  type TableName,
} from './sync-rows.ts';

export interface ApplyDeps {
  readonly mysql: Kysely<ProfileTables>;
  readonly upstream: Kysely<UpstreamTables>;
  readonly deliver: Deliver;
}

/** Describes what a message with one `source` is about. */
export interface SyncedEntity<Name extends TableName> {
  /** As in queues.ts. */
  readonly source: Source;
  readonly target: SyncedTable<Name>;
  /** Reads the current upstream rows of these ids. */
  readonly read: (
    upstream: Kysely<UpstreamTables>,
    ids: readonly string[],
  ) => Promise<readonly SourceRow<Name>[]>;
  readonly cacheKey: (id: string) => string;
}

/**
 * Makes the user-facing rows equal to upstream, and writes cache invalidations and the event in the same transaction.
 * Ids that cannot be applied are returned as failures; the others are applied.
 */
export async function syncEntity<Name extends TableName>(
  deps: ApplyDeps,
  { source, target, read, cacheKey }: SyncedEntity<Name>,
  ids: readonly string[],
): Promise<ApplyResult> {
  return await applyInHalves(inLockOrder(ids), (part) =>
    transactionWithOutbox(deps, async (trx, follow) => {
      const counts = await syncRows(trx, target, part, (some) => read(deps.upstream, some));
      const event = toBus(brokerApplied, { source, ids: [...part] });
      follow(...invalidations(part.map(cacheKey)), event);
      return counts;
    }),
  );
}

const usableStatus = 1;

/** Replaces `status` by `is_deleted`: any status but 1 counts as deleted. */
export const withDeletion = <Row extends { readonly status: number | null }>({
  status,
  ...row
}: Row) => ({ ...row, is_deleted: Number(status) === usableStatus ? 0 : 1 });

/** Selects the column's time, or null if year, month or day of its date is zero. */
export const dateIn = (column: string) =>
  sql.raw(`if(year(${column}) and month(${column}) and day(${column}), ${column}, null)`);
