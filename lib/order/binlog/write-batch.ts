/** Writes a batch of changes: pushes, last statuses and the checkpoint, in one transaction. */
import { createHash } from 'node:crypto';
import { type Kysely, sql, type Transaction } from 'kysely';
import { cutTo } from '../../platform/cut.ts';
import { isId } from '../../platform/ids.ts';
import { type Deliver, transactionWithOutbox } from '../../platform/messaging/outbox.ts';
import type { Lease } from '../../platform/mysql/lease.ts';
import { wallTimeMs } from '../../platform/time.ts';
import { assertReaderLease, writeCheckpoint } from '../checkpoints.ts';
import { shortStatus } from '../decoding/decode-events.ts';
import type { RowChange } from '../decoding/log-events.ts';
import type { Batch, Missed, PlacedChange } from '../decoding/transactions.ts';
import { insertPushes, pushMessagesFor } from '../pushes/insert-pushes.ts';
import { type NewPush, pushFor } from '../pushes/new-push.ts';
import { scenarioOf } from '../pushes/scenarios.ts';
import type { PushTables } from '../tables.ts';

export interface WriteDeps {
  readonly mysql: Kysely<PushTables>;
  readonly deliver: Deliver;
}

/** Returns the id of a push. The same change read again, from any server, yields the same id. */
export const pushIdOf = (place: string): string => createHash('sha256').update(place).digest('hex');

/** A change that cannot be written, because the id of its order does not fit into a message. */
export interface Unwritable {
  readonly order_id: string;
  readonly place: string;
}

/** A row that was deleted and inserted again, with a change that a scenario names: it causes no push. */
export interface Replaced {
  readonly order_id: string;
  readonly scenario: number;
  readonly place: string;
}

export interface BatchSummary {
  readonly pushes: number;
  readonly unwritable: readonly Unwritable[];
  readonly replaced: readonly Replaced[];
}

/**
 * Writes the pushes, the last status of each order and the checkpoint of a batch, in one transaction
 * that the lease protects. Changes that cannot be written are returned and do not stop the others.
 */
export async function writeBatch(
  deps: WriteDeps,
  lease: Pick<Lease, 'name' | 'fencingToken'>,
  { changes, finished, prepared: stillPrepared, missed, checkpoint }: Batch,
): Promise<BatchSummary> {
  const committed = changes.filter(({ prepared }) => prepared === undefined);
  const writable = committed.map(writableImages);
  const pushes = writable.flatMap(pushOf);
  await transactionWithOutbox(deps, async (trx, follow) => {
    await assertReaderLease(trx, lease);
    await insertPushes(trx, pushes);
    await recordLastStatuses(trx, writable);
    await deletePrepared(trx, finished);
    await insertPreparedRows(trx, changes);
    await insertPreparedTransactions(trx, stillPrepared);
    await insertMissed(trx, missed);
    await writeCheckpoint(trx, lease, checkpoint);
    follow(...pushMessagesFor(pushes));
  });
  const unwritable = committed.flatMap(({ before, after, place }) => {
    const image = [after, before].find((one) => one && !isId(one.order_id));
    return image ? [{ order_id: cutTo(image.order_id, shownLengthMax), place }] : [];
  });
  return { pushes: pushes.length, unwritable, replaced: writable.flatMap(replacedBy) };
}

const shownLengthMax = 40;

const writableImages = ({ before, after, ...change }: PlacedChange): PlacedChange => ({
  ...change,
  before: before && isId(before.order_id) ? before : null,
  after: after && isId(after.order_id) ? after : null,
});

/**
 * Returns the push of a change. Inserted and deleted orders have none, because they lack a status
 * before or after. A row whose id changes counts as deleted and inserted.
 */
function pushOf({ before, after, atMs, place }: PlacedChange): NewPush[] {
  if (!before || !after || before.order_id !== after.order_id) return [];
  const { order_id, patient_id, nurse_id } = after;
  const push = pushFor({
    pushId: pushIdOf(place),
    order_id,
    patient_id,
    nurse_id,
    before: before.status,
    after: after.status,
    by: after.changed_by,
    changedAt: new Date(atMs),
  });
  return push === 'no scenario' ? [] : [push];
}

function replacedBy({ before, after, former, place }: PlacedChange): Replaced[] {
  if (!after || before?.order_id === after.order_id) return [];
  const previous = former ?? before;
  const scenario = previous && scenarioOf(previous.status, after.status, after.changed_by);
  return scenario ? [{ order_id: after.order_id, scenario: scenario.number, place }] : [];
}

/** Stores the last status of each order, sorted by id, so that two transactions cannot deadlock. */
async function recordLastStatuses(
  trx: Transaction<PushTables>,
  changes: readonly Pick<PlacedChange, 'before' | 'after'>[],
): Promise<void> {
  const last = new Map<string, string | null>();
  for (const { before, after } of changes) {
    if (before && before.order_id !== after?.order_id) last.set(before.order_id, null);
    if (after) last.set(after.order_id, after.status);
  }
  const ordered = [...last].toSorted(([a], [b]) => (BigInt(a) < BigInt(b) ? -1 : 1));
  const existing = ordered.flatMap(([order_id, status]) =>
    status === null ? [] : [{ order_id, status }],
  );
  const deleted = ordered.flatMap(([order_id, status]) => (status === null ? [order_id] : []));
  await upsertLastStatuses(trx, existing);
  if (deleted.length)
    await trx.deleteFrom('push_db.order_seen').where('order_id', 'in', deleted).execute();
}

export async function upsertLastStatuses(
  trx: Transaction<PushTables>,
  orders: readonly { readonly order_id: string; readonly status: string }[],
): Promise<void> {
  if (!orders.length) return;
  await trx
    .insertInto('push_db.order_seen')
    .values(
      orders.map(({ order_id, status }) => ({
        order_id,
        status: shortStatus(status),
      })),
    )
    .onDuplicateKeyUpdate({ status: sql`values(status)` })
    .execute();
}

async function deletePrepared(
  trx: Transaction<PushTables>,
  xids: readonly string[],
): Promise<void> {
  if (!xids.length) return;
  await trx.deleteFrom('push_db.prepared_row').where('xid', 'in', xids).execute();
  await trx.deleteFrom('push_db.prepared_transaction').where('xid', 'in', xids).execute();
}

/** Stores prepared XA transactions: one that is missing at its commit was prepared before the first checkpoint. */
async function insertPreparedTransactions(
  trx: Transaction<PushTables>,
  xids: readonly string[],
): Promise<void> {
  if (!xids.length) return;
  await trx
    .insertInto('push_db.prepared_transaction')
    .values(xids.map((xid) => ({ xid })))
    .onDuplicateKeyUpdate({ xid: sql`values(xid)` })
    .execute();
}

async function insertMissed(
  trx: Transaction<PushTables>,
  missed: readonly Missed[],
): Promise<void> {
  if (!missed.length) return;
  await trx
    .insertInto('push_db.missed_transaction')
    .values(
      missed.map(({ place, xid, atMs }) => ({
        place,
        xid,
        committed_at: wallTimeMs(new Date(atMs)),
      })),
    )
    .onDuplicateKeyUpdate({ place: sql`values(place)` })
    .execute();
}

async function insertPreparedRows(
  trx: Transaction<PushTables>,
  changes: readonly PlacedChange[],
): Promise<void> {
  const rows = changes.flatMap(({ prepared, place, before, after }) =>
    prepared === undefined
      ? []
      : [{ xid: prepared, ordinal: ordinalOf(place), place, images: { before, after } }],
  );
  if (!rows.length) return;
  await trx
    .insertInto('push_db.prepared_row')
    .values(rows.map((row) => ({ ...row, images: JSON.stringify(row.images) })))
    .onDuplicateKeyUpdate({ place: sql`values(place)`, images: sql`values(images)` })
    .execute();
}

const ordinalOf = (place: string): string => place.slice(place.lastIndexOf(':') + 1);

export async function wasPrepared(mysql: Kysely<PushTables>, xid: string): Promise<boolean> {
  const tables = ['push_db.prepared_transaction', 'push_db.prepared_row'] as const;
  for (const table of tables) {
    const row = await mysql
      .selectFrom(table)
      .select('xid')
      .where('xid', '=', xid)
      .limit(1)
      .executeTakeFirst();
    if (row) return true;
  }
  return false;
}

/** Returns a page of rows of a prepared XA transaction after an ordinal, with the time `atMs` of its commit. */
export async function preparedRows(
  mysql: Kysely<PushTables>,
  xid: string,
  { after, atMs, limit }: { readonly after: string; readonly atMs: number; readonly limit: number },
): Promise<{ readonly changes: RowChange[]; readonly last: string | undefined }> {
  const rows = await mysql
    .selectFrom('push_db.prepared_row')
    .select(['ordinal', 'place', 'images'])
    .where('xid', '=', xid)
    .where('ordinal', '>', after)
    .orderBy('ordinal')
    .limit(limit)
    .execute();
  const changes = rows.map(({ place, images }) => ({
    ...(images as unknown as Images),
    atMs,
    place,
  }));
  return { changes, last: rows.length === limit ? rows.at(-1)?.ordinal : undefined };
}

/** The type of the JSON column `images`, which mysql2 parses. */
type Images = Pick<RowChange, 'before' | 'after'>;
