import type { Kysely } from 'kysely';
import { commit, type Deliver, toBus } from '../platform/outbox.ts';
import { brokerApplied } from './events.ts';
import { invalidations } from './invalidations.ts';
import {
  type Applied,
  type Copy,
  inOrder,
  type Mirror,
  mirror,
  type TableName,
} from './mirrors.ts';
import type { Source } from './queues.ts';
import type { ProfileTables, UpstreamTables } from './tables.ts';

export interface ApplyDeps {
  readonly mysql: Kysely<ProfileTables>;
  readonly upstream: Kysely<UpstreamTables>;
  readonly deliver: Deliver;
}

/** What one `source` of a message is about. */
export interface Kind<Name extends TableName> {
  /** As in queues.ts. */
  readonly source: Source;
  readonly mirror: Mirror<Name>;
  /** What upstream has of these ids at this moment. */
  readonly read: (
    upstream: Kysely<UpstreamTables>,
    ids: readonly string[],
  ) => Promise<readonly Copy<Name>[]>;
  /** Where the cache keeps what is shown of it. */
  readonly cacheKey: (id: string) => string;
}

/** Makes what the site shows equal to upstream; what must follow is of the same transaction. */
export async function applyKind<Name extends TableName>(
  deps: ApplyDeps,
  { source, mirror: copied, read, cacheKey }: Kind<Name>,
  ids: readonly string[],
): Promise<Applied> {
  const ordered = inOrder(ids);
  return await commit(deps, async (trx, follow) => {
    const applied = await mirror(trx, copied, ordered, (some) => read(deps.upstream, some));
    follow(...invalidations(ordered.map(cacheKey)), toBus(brokerApplied, { source, ids: ordered }));
    return applied;
  });
}

const usable = 1;

/** A row whose Status is another than usable counts as deleted. */
export const withDeletion = <Row extends { readonly status: number | null }>({
  status,
  ...row
}: Row) => ({ ...row, is_deleted: status === usable ? 0 : 1 });
