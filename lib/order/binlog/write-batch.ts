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

/** The key of a push for ever: whoever reads the change again, from whichever server, makes the same. */
export const pushIdOf = (place: string): string => createHash('sha256').update(place).digest('hex');

/** A change that is written nowhere else: its order has an id that no message can name. */
export interface Unwritable {
  readonly order_id: string;
  readonly place: string;
}

/** A change that a scenario would name, had the row been updated: it was deleted and made again. */
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
 * Writes what was read: pushes, the last status of each order and how far it was, in one
 * transaction, under the lease. What cannot be written is returned, and never stops the rest.
 */
export async function writeBatch(
  deps: WriteDeps,
  claimed: Pick<Lease, 'name' | 'fencingToken'>,
  { changes, finished, prepared: stillPrepared, missed, checkpoint }: Batch,
): Promise<BatchSummary> {
  const committed = changes.filter(({ prepared }) => prepared === undefined);
  const counting = committed.map(writableImages);
  const pushes = counting.flatMap(pushOf);
  await transactionWithOutbox(deps, async (trx, follow) => {
    await assertReaderLease(trx, claimed);
    await insertPushes(trx, pushes);
    await recordLastStatuses(trx, counting);
    await forgetPrepared(trx, finished);
    await keepPrepared(trx, changes);
    await notePrepared(trx, stillPrepared);
    await noteMissed(trx, missed);
    await writeCheckpoint(trx, claimed, checkpoint);
    follow(...pushMessagesFor(pushes));
  });
  const unwritable = committed.flatMap(({ before, after, place }) => {
    const image = [after, before].find((one) => one && !isId(one.order_id));
    return image ? [{ order_id: cutTo(image.order_id, shownLengthMax), place }] : [];
  });
  return { pushes: pushes.length, unwritable, replaced: counting.flatMap(replacedBy) };
}

const shownLengthMax = 40;

const writableImages = ({ before, after, ...change }: PlacedChange): PlacedChange => ({
  ...change,
  before: before && isId(before.order_id) ? before : null,
  after: after && isId(after.order_id) ? after : null,
});

/**
 * A change of an order that was made or deleted has no status before or after: nobody hears of it.
 * A row that is given another id was made under that one.
 */
function pushOf({ before, after, atMs, place }: PlacedChange): NewPush[] {
  if (!before || !after || before.order_id !== after.order_id) return [];
  const { order_id, patient_id, nurse_id } = after;
  const push = pushFor({
    ...{ pushId: pushIdOf(place), order_id, patient_id, nurse_id },
    ...{ before: before.status, after: after.status, by: after.changed_by },
    changedAt: new Date(atMs),
  });
  return push === 'no scenario' ? [] : [push];
}

function replacedBy({ before, after, former, place }: PlacedChange): Replaced[] {
  if (!after || before?.order_id === after.order_id) return [];
  const was = former ?? before;
  const scenario = was && scenarioOf(was.status, after.status, after.changed_by);
  return scenario ? [{ order_id: after.order_id, scenario: scenario.number, place }] : [];
}

/** In the order of the ids, so that two who do this never wait for each other. */
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
  const there = ordered.flatMap(([order_id, status]) =>
    status === null ? [] : [{ order_id, status }],
  );
  const gone = ordered.flatMap(([order_id, status]) => (status === null ? [order_id] : []));
  await upsertLastStatuses(trx, there);
  if (gone.length)
    await trx.deleteFrom('push_db.order_seen').where('order_id', 'in', gone).execute();
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

async function forgetPrepared(
  trx: Transaction<PushTables>,
  xids: readonly string[],
): Promise<void> {
  if (!xids.length) return;
  await trx.deleteFrom('push_db.prepared_row').where('xid', 'in', xids).execute();
  await trx.deleteFrom('push_db.prepared_transaction').where('xid', 'in', xids).execute();
}

/** Notes what its commit must find: a transaction that is not noted was prepared before the reader's place. */
async function notePrepared(trx: Transaction<PushTables>, xids: readonly string[]): Promise<void> {
  if (!xids.length) return;
  await trx
    .insertInto('push_db.prepared_transaction')
    .values(xids.map((xid) => ({ xid })))
    .onDuplicateKeyUpdate({ xid: sql`values(xid)` })
    .execute();
}

async function noteMissed(trx: Transaction<PushTables>, missed: readonly Missed[]): Promise<void> {
  if (!missed.length) return;
  await trx
    .insertInto('push_db.missed_transaction')
    .values(
      missed.map(({ place, xid, atMs }) => ({
        ...{ place, xid },
        committed_at: wallTimeMs(new Date(atMs)),
      })),
    )
    .onDuplicateKeyUpdate({ place: sql`values(place)` })
    .execute();
}

async function keepPrepared(
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

/** Rows of a prepared XA transaction after an ordinal, as its commit at `atMs` makes them. */
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
    ...(images as never as Images),
    atMs,
    place,
  }));
  return { changes, last: rows.length === limit ? rows.at(-1)?.ordinal : undefined };
}

/** mysql2 hands JSON columns over as values. */
type Images = Pick<RowChange, 'before' | 'after'>;
