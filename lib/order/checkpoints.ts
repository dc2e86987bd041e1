import { type Kysely, sql, type Transaction } from 'kysely';
import { assertLeaseHeld, type Lease } from '../platform/mysql/lease.ts';
import type { PlatformTables } from '../platform/tables.ts';
import { dateOf, wallTimeMs } from '../platform/time.ts';
import type { PushTables } from './tables.ts';

/** A place in the binlog up to which all is written: always the end of a whole transaction. */
export interface Checkpoint {
  /** The server whose files these are; another one knows the place by the GTIDs only. */
  readonly serverUuid: string;
  /** All transactions up to here; null where the server gives no GTIDs. */
  readonly gtidSet: string | null;
  readonly file: string;
  readonly position: number;
  /** Of the transaction that begins here: its name, and how many of its order rows are written. */
  readonly open: { readonly name: string; readonly rows: number } | null;
  /** When the last transaction up to here was made, by its server's clock. */
  readonly atMs: number | null;
}

/** The name of the one checkpoint there is, and of the lease under which it is written. */
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
 * Makes the transaction fail unless the lease is still held: the first statement of each that
 * writes what was read, or one who overslept would set the checkpoint back.
 */
export const assertReaderLease = (
  trx: Transaction<PushTables>,
  claimed: Pick<Lease, 'name' | 'fencingToken'>,
): Promise<void> => assertLeaseHeld(trx as unknown as Transaction<PlatformTables>, claimed);

/** Written in the transaction that writes what was read up to there; under the lease. */
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
