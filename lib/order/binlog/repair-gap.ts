import { type Kysely, sql } from 'kysely';
import { isId } from '../../platform/ids.ts';
import type { Hand } from '../../platform/lambda/by-hand.ts';
import { type Deliver, transactionWithOutbox } from '../../platform/messaging/outbox.ts';
import { type Lease, LeaseLost } from '../../platform/mysql/lease.ts';
import { audit } from '../../platform/operations/audit.ts';
import { dateOrNull } from '../../platform/time.ts';
import {
  assertReaderLease,
  type Checkpoint,
  readCheckpoint,
  writeCheckpoint,
} from '../checkpoints.ts';
import { shortStatus } from '../decoding/decode-events.ts';
import type { OrderImage } from '../decoding/log-events.ts';
import type { RepairGap } from '../inputs.ts';
import { insertPushes, pushMessagesFor } from '../pushes/insert-pushes.ts';
import { type NewPush, pushFor } from '../pushes/new-push.ts';
import type { OrderTables, PushTables } from '../tables.ts';
import { type BeforeImages, beforeImages } from './before-images.ts';
import { endOf, Purged } from './binlog-position.ts';
import type { Source } from './binlog-source.ts';
import { acquireReaderLease, endMs, type LeaseDeps } from './reader-lease.ts';
import { pushIdOf, upsertLastStatuses } from './write-batch.ts';

export interface GapDeps extends LeaseDeps {
  readonly mysql: Kysely<PushTables>;
  readonly order: Kysely<OrderTables>;
  readonly binlog: Source;
  readonly deliver: Deliver;
}

const ordersPerPageMax = 500;
const listedMax = 200;
/** A change stands in the binlog a moment before it is seen in its table. */
const visibleAfterMs = 2_000;

interface Start {
  readonly place: Checkpoint;
  /** What was lost, where the reader must begin anew at this place. */
  readonly lost: string | undefined;
  /** By our database's clock. */
  readonly began: string;
}

interface Listed {
  compared: number;
  pushes: number;
  lost: string | undefined;
  readonly unseen: string[];
  unseenCount: number;
  readonly unexplained: { order_id: string; seen: string; is: string; by: string }[];
  unexplainedCount: number;
  /** Orders whose ids no message can name: they are not compared. */
  readonly unwritable: string[];
  unwritableCount: number;
}

/**
 * Compares every order with what was last seen of it, and writes the pushes of what the binlog no
 * longer says; what no scenario explains, and orders that were never seen, are listed. Then the
 * reader goes on: from where it stood, or, where that is lost, from the binlog's end as it was when
 * the comparison began.
 *
 * What changes while it runs is the reader's: an order is compared as it was at that place.
 */
export async function repairGap(deps: GapDeps, input: RepairGap, { remaining, progress }: Hand) {
  const claimed = await acquireReaderLease(deps, remaining);
  if (!claimed) return { outcome: 'another reads', resume: input };
  const listed: Listed = {
    ...{ compared: 0, pushes: 0, lost: undefined },
    ...{ unseen: [], unseenCount: 0, unexplained: [], unexplainedCount: 0 },
    ...{ unwritable: [], unwritableCount: 0 },
  };
  try {
    const start = await startOf(deps, input);
    listed.lost = start.lost;
    const earlier = await beforeImages(deps, start.place, claimed.fencingToken);
    try {
      let after = input.resume?.after;
      while (remaining() > endMs) {
        if (!(await claimed.renew())) throw new LeaseLost('The reader’s lease was taken.');
        const last = await comparePage(deps, { input, claimed, start, earlier, listed }, after);
        progress(listed.compared);
        if (last === undefined) return await finished(deps, input, claimed, start, listed);
        after = last;
      }
      return {
        outcome: 'unfinished',
        ...listed,
        resume: after === undefined ? input : { ...input, resume: resumeAt(after, start) },
      };
    } finally {
      await earlier.close();
    }
  } finally {
    await claimed.release();
  }
}

const resumeAt = (after: string, { place, lost, began }: Start) => {
  const { serverUuid, gtidSet, file, position } = place;
  const start = { serverUuid, gtidSet, file, position };
  return { after, began, ...(lost !== undefined && { start }) };
};

/** Where the reader will go on, once all orders are compared as they were there. */
async function startOf(
  { mysql, binlog, pause }: GapDeps,
  { pass, resume }: RepairGap,
): Promise<Start> {
  const began = resume?.began ?? (await databaseTime(mysql));
  if (resume?.start)
    return { place: { ...resume.start, open: null, atMs: null }, lost: 'as said', began };
  const checkpoint = await readCheckpoint(mysql);
  const lost = pass ? 'all that was passed over' : await lostSince(binlog, checkpoint);
  if (checkpoint && lost === undefined) return { place: checkpoint, lost, began };
  const place = endOf(await binlog.end());
  await pause(visibleAfterMs);
  return { place, lost: lost ?? 'nothing was read before', began };
}

async function databaseTime(mysql: Kysely<PushTables>): Promise<string> {
  const { rows } = await sql<{ now: string }>`select now(3) now`.execute(mysql);
  return rows[0]?.now ?? '';
}

async function lostSince(
  binlog: Source,
  checkpoint: Checkpoint | undefined,
): Promise<string | undefined> {
  try {
    await binlog.find(checkpoint);
    return undefined;
  } catch (error) {
    if (error instanceof Purged) return error.lost;
    throw error;
  }
}

interface Page {
  readonly input: RepairGap;
  readonly claimed: Lease;
  readonly start: Start;
  readonly earlier: BeforeImages;
  readonly listed: Listed;
}

/** Returns the last id of the page, undefined after the last page. */
async function comparePage(
  deps: GapDeps,
  page: Page,
  after: string | undefined,
): Promise<string | undefined> {
  const { input, claimed, start, earlier, listed } = page;
  const rows = await ordersAfter(deps.order, after);
  await earlier.readOn();
  const orders = rows.flatMap(({ updated_at, ...row }) => {
    const image = isId(row.order_id) ? earlier.of(row) : undefined;
    return image ? [{ ...image, updated_at }] : [];
  });
  for (const { order_id } of rows.filter((row) => !isId(row.order_id))) {
    listed.unwritableCount += 1;
    if (listed.unwritable.length < listedMax) listed.unwritable.push(order_id);
  }
  const seen = await seenOf(deps.mysql, orders);
  const pushes = orders.flatMap((order) => compare(order, seen.get(order.order_id), start, listed));
  listed.compared += orders.length;
  listed.pushes += pushes.length;
  if (orders.length)
    await transactionWithOutbox(deps, async (trx, follow) => {
      await assertReaderLease(trx, claimed);
      await insertPushes(trx, pushes);
      await upsertLastStatuses(trx, orders);
      follow(...pushMessagesFor(pushes));
      const detail = { after: after ?? null, orders: orders.length, pushes: pushes.length };
      if (pushes.length) await note(trx, input, 'order/repair', detail);
    });
  return rows.length < ordersPerPageMax ? undefined : rows.at(-1)?.order_id;
}

const note = (
  trx: Parameters<Parameters<typeof transactionWithOutbox<PushTables, void>>[1]>[0],
  { by: who, why }: RepairGap,
  what: string,
  detail: Record<string, unknown>,
) => audit(trx as never, { who, what, why, detail });

type Order = OrderImage & { readonly updated_at: string | null };

/** In the order of their ids, from the least on where none is given. */
async function ordersAfter(
  order: Kysely<OrderTables>,
  after: string | undefined,
): Promise<Order[]> {
  const rows = await order
    .selectFrom('order_db.order')
    .select(['order_id', 'patient_id', 'nurse_id', 'status', 'changed_by'])
    // A stamp in the future would keep its push young.
    .select(sql<string | null>`least(updated_at, now(3))`.as('updated_at'))
    .$if(after !== undefined, (query) => query.where('order_id', '>', after ?? ''))
    .orderBy('order_id')
    .limit(ordersPerPageMax)
    .execute();
  return rows.map(({ status, changed_by, ...row }) => ({
    ...row,
    ...{ status: shortStatus(status ?? ''), changed_by: changed_by ?? '' },
  }));
}

async function seenOf(
  mysql: Kysely<PushTables>,
  orders: readonly Order[],
): Promise<Map<string, string>> {
  if (!orders.length) return new Map();
  const ids = orders.map(({ order_id }) => order_id);
  const rows = await mysql
    .selectFrom('push_db.order_seen')
    .select(['order_id', 'status'])
    .where('order_id', 'in', ids)
    .execute();
  return new Map(rows.map(({ order_id, status }) => [order_id, status]));
}

function compare(
  order: Order,
  seen: string | undefined,
  { place }: Start,
  listed: Listed,
): NewPush[] {
  const { order_id, patient_id, nurse_id, status, changed_by: by, updated_at } = order;
  if (seen === status) return [];
  if (seen === undefined) {
    listed.unseenCount += 1;
    if (listed.unseen.length < listedMax) listed.unseen.push(order_id);
    return [];
  }
  const key = ['repair', place.serverUuid, place.file, place.position, order_id, seen, status];
  const push = pushFor({
    ...{ pushId: pushIdOf(key.join(':')), order_id, patient_id, nurse_id },
    ...{ before: seen, after: status, by },
    // When it changed is lost; its own stamp is the best there is, and 1970 is too old for any push.
    changedAt: dateOrNull(updated_at) ?? new Date(0),
  });
  if (push !== 'no scenario') return [push];
  listed.unexplainedCount += 1;
  if (listed.unexplained.length < listedMax)
    listed.unexplained.push({ order_id, seen, is: status, by });
  return [];
}

/** The reader may go on; where its place was lost, from the start of the comparison. */
async function finished(
  deps: GapDeps,
  input: RepairGap,
  claimed: Lease,
  { place, lost, began }: Start,
  listed: Listed,
) {
  const { compared, pushes, unseenCount, unexplainedCount } = listed;
  const detail = { compared, pushes, unseenCount, unexplainedCount, ...(lost && { lost, place }) };
  await transactionWithOutbox(deps, async (trx) => {
    await assertReaderLease(trx, claimed);
    if (lost !== undefined) await writeCheckpoint(trx, claimed, place);
    // Their changes were found by comparing; one that was noted later may concern an order before that.
    await trx.deleteFrom('push_db.missed_transaction').where('noted_at', '<', began).execute();
    await note(trx, input, 'order/repair-end', detail);
  });
  return { outcome: 'repaired', ...listed };
}
