import { type Kysely, sql, type Transaction } from 'kysely';
import { inTransaction } from '../platform/mysql.ts';
import type { ProfileTables, UpstreamTables } from './tables.ts';

type Base = ProfileTables['user_prop_db.broker_base'];

export interface BaseDeps {
  readonly mysql: Kysely<ProfileTables>;
  readonly upstream: Kysely<UpstreamTables>;
}

export interface Applied {
  /** Present and usable upstream: written, undeleted. */
  readonly present: number;
  /** Absent upstream, or its Status says so: marked deleted. */
  readonly deleted: number;
}

/**
 * Makes the user-facing base profiles equal to what upstream says at this moment.
 *
 * Each row is locked (made first, if it is new) before upstream is read, so of two who apply the same id the later
 * one reads the later state: right in any order, in parallel without limit. Locks are taken in id order.
 */
export async function applyBases(
  { mysql, upstream }: BaseDeps,
  ids: readonly string[],
): Promise<Applied> {
  const ordered = ids.toSorted((a, b) => Number(BigInt(a) - BigInt(b)));
  return await inTransaction(mysql, async (trx) => {
    await lock(trx, ordered);
    const found = await readUpstream(upstream, ordered);
    if (found.length) await write(trx, found);
    const known = new Set(found.map(({ broker_id }) => broker_id));
    const absent = ordered.filter((id) => !known.has(id));
    if (absent.length) await markDeleted(trx, absent);
    const present = found.filter(({ is_deleted }) => !is_deleted).length;
    return { present, deleted: ordered.length - present };
  });
}

/** A new row is born deleted: nobody sees it before the commit, and then it is written or stays so. */
async function lock(trx: Transaction<ProfileTables>, ids: readonly string[]): Promise<void> {
  await trx
    .insertInto('user_prop_db.broker_base')
    .values(ids.map((broker_id) => ({ broker_id, is_deleted: 1 })))
    .onDuplicateKeyUpdate({ broker_id: sql`broker_base.broker_id` })
    .execute();
}

const usable = 1;

async function readUpstream(
  upstream: Kysely<UpstreamTables>,
  ids: readonly string[],
): Promise<Base[]> {
  return await upstream
    .selectFrom('anjuke_db.ajk_broker as broker')
    .leftJoin('anjuke_db.ajk_brokerextend as extend', 'extend.BrokerId', 'broker.BrokerId')
    .select([
      'broker.BrokerId as broker_id',
      'broker.TrueName as true_name',
      'broker.CityId as city_id',
      'broker.CompanyId as company_id',
      'broker.StoreId as store_id',
      'broker.Photo as photo',
      'extend.UserMobile as mobile',
      'broker.Status as status',
      unlessZero('broker.updated_datetime').as('source_updated_at'),
      unlessZero('extend.updated_datetime').as('mobile_updated_at'),
    ])
    .where('broker.BrokerId', 'in', ids)
    .orderBy('broker.BrokerId')
    .execute()
    .then((rows) =>
      rows.map(({ status, ...row }) => ({ ...row, is_deleted: status === usable ? 0 : 1 })),
    );
}

/** A zero date of an old row means none. */
const unlessZero = (column: string) =>
  sql<string | null>`nullif(${sql.ref(column)}, '0000-00-00 00:00:00')`;

/** Row and telephone number each have a stamp of their own: an older one than was written is passed over. */
async function write(trx: Transaction<ProfileTables>, rows: readonly Base[]): Promise<void> {
  await trx
    .insertInto('user_prop_db.broker_base')
    .values(rows)
    .onDuplicateKeyUpdate({
      true_name: unlessOlder('true_name', 'source_updated_at'),
      city_id: unlessOlder('city_id', 'source_updated_at'),
      company_id: unlessOlder('company_id', 'source_updated_at'),
      store_id: unlessOlder('store_id', 'source_updated_at'),
      photo: unlessOlder('photo', 'source_updated_at'),
      is_deleted: unlessOlder('is_deleted', 'source_updated_at'),
      mobile: unlessOlder('mobile', 'mobile_updated_at'),
      // MySQL assigns from left to right: the stamps come last, or they would be compared with themselves.
      source_updated_at: unlessOlder('source_updated_at', 'source_updated_at'),
      mobile_updated_at: unlessOlder('mobile_updated_at', 'mobile_updated_at'),
    })
    .execute();
}

/** The new value of `column`, or the old one where the new row's `stamp` is earlier than the old row's. */
function unlessOlder(column: keyof Base, stamp: 'source_updated_at' | 'mobile_updated_at') {
  const [value, time] = [sql.ref(column), sql.ref(stamp)];
  return sql<never>`if(values(${time}) < ${time}, ${value}, values(${value}))`;
}

/** Without a stamp, so that a row which is created once more is written whatever its stamp. */
async function markDeleted(trx: Transaction<ProfileTables>, ids: readonly string[]): Promise<void> {
  await trx
    .updateTable('user_prop_db.broker_base')
    .set({ is_deleted: 1, source_updated_at: null, mobile_updated_at: null })
    .where('broker_id', 'in', ids)
    .execute();
}
