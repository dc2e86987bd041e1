/** Reads and writes the checkpoint of the binlog reader. */
import { type Kysely, sql, type Transaction } from 'kysely';
import { assertLeaseHeld, type Lease } from '../platform/mysql/lease.ts';
import type { PlatformTables } from '../platform/tables.ts';
import { dateOf, wallTimeMs } from '../platform/time.ts';
import type { PushTables } from './tables.ts';

/** A position in the binlog up to which everything is written: always the end of a transaction. */
export interface Checkpoint {
  /** The server that `file` and `position` refer to; on any other server only the GTIDs are valid. */
  readonly serverUuid: string;
  /** All transactions up to here; null if the server has no GTIDs. */
  readonly gtidSet: string | null;
  readonly file: string;
  readonly position: number;
  /** The transaction that begins here, if a part of it is written: its name and the number of order rows written. */
  readonly open: { readonly name: string; readonly rows: number } | null;
  /** Commit time of the last transaction up to here, by its server's clock. */
  readonly atMs: number | null;
}

/** The name of the only checkpoint, and of the lease that protects it. */
export const readerName = 'order/tail-binlog';

export async function readCheckpoint(mysql: Kysely<PushTables>): Promise<Checkpoint | undefined> {
  const row = await mysql
    .selectFrom('push_db.binlog_checkpoint')
    .selectAll()
    .where('name', '=', readerName)
    .executeTakeFirst();
  if (!row) return undefined;
  return {
    serverUuid: row.server_uuid,
    gtidSet: row.gtid_set,
    file: row.file,
    position: Number(row.position),
    open: row.rows_of === null ? null : { name: row.rows_of, rows: Number(row.rows_done) },
    atMs: row.read_to === null ? null : dateOf(row.read_to).getTime(),
  };
}

/**
 * Throws unless the lease is still held. It must be the first statement of every transaction that
 * writes what was read, because a reader with an expired lease would move the checkpoint back.
 */
export const assertReaderLease = (
  trx: Transaction<PushTables>,
  lease: Pick<Lease, 'name' | 'fencingToken'>,
): Promise<void> => assertLeaseHeld(trx as unknown as Transaction<PlatformTables>, lease);

/** Stores the checkpoint, in the transaction that writes what was read up to there. */
export async function writeCheckpoint(
  trx: Transaction<PushTables>,
  { fencingToken: epoch }: Pick<Lease, 'fencingToken'>,
  { serverUuid, gtidSet, file, position, open, atMs }: Checkpoint,
): Promise<void> {
  const row = {
    server_uuid: serverUuid,
    gtid_set: gtidSet,
    file,
    position: String(position),
    rows_of: open?.name ?? null,
    rows_done: String(open?.rows ?? 0),
    read_to: atMs === null ? null : wallTimeMs(new Date(atMs)),
    epoch,
    updated_at: sql<string>`current_timestamp(3)`,
  };
  await trx
    .insertInto('push_db.binlog_checkpoint')
    .values({ name: readerName, ...row })
    .onDuplicateKeyUpdate(row)
    .execute();
}
