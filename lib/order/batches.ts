import { createHash } from 'node:crypto';
import { type Kysely, sql, type Transaction } from 'kysely';
import type { Claim } from '../platform/claim.ts';
import { commit, type Deliver, toQueue } from '../platform/outbox.ts';
import { type NewPush, pushRowsOf } from './changes.ts';
import { underLease, writeCheckpoint } from './checkpoints.ts';
import type { RowChange } from './log-events.ts';
import { pushesToSend } from './queues.ts';
import type { PushTables } from './tables.ts';
import type { Batch, PlacedChange } from './transactions.ts';

export interface WriteDeps {
  readonly mysql: Kysely<PushTables>;
  readonly deliver: Deliver;
}

/** The key of a push for ever: whoever reads the change again, from whichever server, makes the same. */
export const pushIdOf = (place: string): string => createHash('sha256').update(place).digest('hex');

/**
 * Writes what was read: pushes, the last status of each order and how far it was, in one
 * transaction, under the lease. Returns how many pushes the changes cause.
 */
export async function writeBatch(
  deps: WriteDeps,
  claimed: Pick<Claim, 'name' | 'epoch'>,
  { changes, finished, checkpoint }: Batch,
): Promise<number> {
  const counting = changes.filter(({ prepared }) => prepared === undefined);
  const pushes = counting.flatMap(pushOf);
  await commit(deps, async (trx, follow) => {
    await underLease(trx, claimed);
    await addPushes(trx, pushes);
    await see(trx, counting);
    if (finished.length)
      await trx.deleteFrom('push_db.prepared_row').where('xid', 'in', finished).execute();
    await keepPrepared(trx, changes);
    await writeCheckpoint(trx, claimed, checkpoint);
    follow(...nudgesFor(pushes));
  });
  return pushes.length;
}

/** A change of an order that was made or deleted has no status before or after: nobody hears of it. */
function pushOf({ before, after, atMs, place }: PlacedChange): NewPush[] {
  if (!before || !after) return [];
  const { order_id, patient_id, nurse_id } = after;
  const push = pushRowsOf({
    ...{ pushId: pushIdOf(place), order_id, patient_id, nurse_id },
    ...{ before: before.status, after: after.status, by: after.changed_by },
    changedAt: new Date(atMs),
  });
  return push === 'no scenario' ? [] : [push];
}

/** A push that is there already stays as it is, sent or not. */
export async function addPushes(
  trx: Transaction<PushTables>,
  pushes: readonly NewPush[],
): Promise<void> {
  if (!pushes.length) return;
  await trx
    .insertInto('push_db.push')
    .values(pushes)
    .onDuplicateKeyUpdate({ push_id: sql`push.push_id` })
    .execute();
}

export const nudgesFor = (pushes: readonly Pick<NewPush, 'order_id' | 'state'>[]) =>
  [...new Set(pushes.flatMap(({ order_id, state }) => (state === 'unsent' ? [order_id] : [])))].map(
    (order_id) => toQueue(pushesToSend, { order_id }),
  );

/** In the order of the ids, so that two who do this never wait for each other. */
async function see(
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
  await seeOrders(trx, there);
  if (gone.length)
    await trx.deleteFrom('push_db.order_seen').where('order_id', 'in', gone).execute();
}

const statusLengthMax = 255;

export async function seeOrders(
  trx: Transaction<PushTables>,
  orders: readonly { readonly order_id: string; readonly status: string }[],
): Promise<void> {
  if (!orders.length) return;
  await trx
    .insertInto('push_db.order_seen')
    .values(
      orders.map(({ order_id, status }) => ({
        order_id,
        status: status.slice(0, statusLengthMax),
      })),
    )
    .onDuplicateKeyUpdate({ status: sql`values(status)` })
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
