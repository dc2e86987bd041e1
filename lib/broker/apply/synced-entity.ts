import { type Kysely, sql } from 'kysely';
import { type Deliver, toBus, transactionWithOutbox } from '../../platform/messaging/outbox.ts';
import { brokerApplied } from '../events.ts';
import type { Source } from '../queues.ts';
import type { ProfileTables, UpstreamTables } from '../tables.ts';
import { invalidations } from './invalidations.ts';
import { type ApplyResult, applyInHalves } from './portions.ts';
import { type SourceRow, inLockOrder, type SyncedTable, syncRows, type TableName } from './sync-rows.ts';

export interface ApplyDeps {
  readonly mysql: Kysely<ProfileTables>;
  readonly upstream: Kysely<UpstreamTables>;
  readonly deliver: Deliver;
}

/** What one `source` of a message is about. */
export interface SyncedEntity<Name extends TableName> {
  /** As in queues.ts. */
  readonly source: Source;
  readonly target: SyncedTable<Name>;
  /** What upstream has of these ids at this moment. */
  readonly read: (
    upstream: Kysely<UpstreamTables>,
    ids: readonly string[],
  ) => Promise<readonly SourceRow<Name>[]>;
  /** Where the cache keeps what is shown of it. */
  readonly cacheKey: (id: string) => string;
}

/**
 * Makes what the site shows equal to upstream; what must follow is of the same transaction. Ids that cannot be applied
 * are told apart from the others, which are.
 */
export async function syncEntity<Name extends TableName>(
  deps: ApplyDeps,
  { source, target: copied, read, cacheKey }: SyncedEntity<Name>,
  ids: readonly string[],
): Promise<ApplyResult> {
  return await applyInHalves(inLockOrder(ids), (part) =>
    transactionWithOutbox(deps, async (trx, follow) => {
      const applied = await syncRows(trx, copied, part, (some) => read(deps.upstream, some));
      const event = toBus(brokerApplied, { source, ids: [...part] });
      follow(...invalidations(part.map(cacheKey)), event);
      return applied;
    }),
  );
}

const usable = 1;

/** A row whose Status is another than usable counts as deleted. */
export const withDeletion = <Row extends { readonly status: number | null }>({
  status,
  ...row
}: Row) => ({ ...row, is_deleted: Number(status) === usable ? 0 : 1 });

/** The time in a column; null where it, or a part of its date, is zero. */
export const dateIn = (column: string) =>
  sql.raw(`if(year(${column}) and month(${column}) and day(${column}), ${column}, null)`);
