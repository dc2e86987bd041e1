/** Repairs a gap in what the reader has read, by comparing all orders with their last known status. */
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
/** A change is in the binlog a moment before it can be read from its table. */
const visibleAfterMs = 2_000;

interface Start {
  readonly place: Checkpoint;
  /** What was lost, if the reader must restart at this position; else undefined. */
  readonly lost: string | undefined;
  /** When the comparison began, by our database's clock. */
  readonly began: string;
}

interface Report {
  compared: number;
  pushes: number;
  lost: string | undefined;
  readonly unseen: string[];
  unseenCount: number;
  readonly unexplained: { order_id: string; seen: string; is: string; by: string }[];
  unexplainedCount: number;
  /** Orders whose ids do not fit into a message: they are not compared. */
  readonly unwritable: string[];
  unwritableCount: number;
}

/**
 * Compares every order with its last known status and writes the pushes of changes that the binlog no
 * longer has. It lists differences that no scenario explains, and orders without a known status. Then
 * the reader resumes: at its checkpoint or, if that is lost, at the end that the binlog had when the
 * comparison began.
 *
 * Changes during the comparison are left to the reader: an order is compared as it was at that position.
 */
export async function repairGap(deps: GapDeps, input: RepairGap, { remaining, progress }: Hand) {
  const lease = await acquireReaderLease(deps, remaining);
  if (!lease) return { outcome: 'lease-not-acquired' as const, resume: input };
  const report: Report = {
    compared: 0,
    pushes: 0,
    lost: undefined,
    unseen: [],
    unseenCount: 0,
    unexplained: [],
    unexplainedCount: 0,
    unwritable: [],
    unwritableCount: 0,
  };
  try {
    const start = await startOf(deps, input);
    report.lost = start.lost;
    const images = await beforeImages(deps, start.place, lease.fencingToken);
    try {
      let after = input.resume?.after;
      while (remaining() > endMs) {
        if (!(await lease.renew()))
          throw new LeaseLost('Another worker has acquired the reader’s lease.');
        const last = await comparePage(deps, { input, lease, start, images, report }, after);
        progress(report.compared);
        if (last === undefined) return await finish(deps, input, lease, start, report);
        after = last;
      }
      return {
        outcome: 'unfinished' as const,
        ...report,
        resume: after === undefined ? input : { ...input, resume: resumeAt(after, start) },
      };
    } finally {
      await images.close();
    }
  } finally {
    await lease.release();
  }
}

const resumeAt = (after: string, { place, lost, began }: Start) => {
  const { serverUuid, gtidSet, file, position } = place;
  const start = { serverUuid, gtidSet, file, position };
  return { after, began, ...(lost !== undefined && { start }) };
};

/** Returns the position at which orders are compared and the reader resumes afterwards. */
async function startOf(
  { mysql, binlog, pause }: GapDeps,
  { pass, resume }: RepairGap,
): Promise<Start> {
  const began = resume?.began ?? (await databaseTime(mysql));
  if (resume?.start)
    return {
      place: { ...resume.start, open: null, atMs: null },
      lost: 'see the first answer',
      began,
    };
  const checkpoint = await readCheckpoint(mysql);
  const lost = pass ? 'everything that was skipped' : await lostSince(binlog, checkpoint);
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
  readonly lease: Lease;
  readonly start: Start;
  readonly images: BeforeImages;
  readonly report: Report;
}

/** Compares one page of orders. Returns its last id, or undefined after the last page. */
async function comparePage(
  deps: GapDeps,
  page: Page,
  after: string | undefined,
): Promise<string | undefined> {
  const { input, lease, start, images, report } = page;
  const rows = await ordersAfter(deps.order, after);
  await images.readToEnd();
  const orders = rows.flatMap(({ updated_at, ...row }) => {
    const image = isId(row.order_id) ? images.imageOf(row) : undefined;
    return image ? [{ ...image, updated_at }] : [];
  });
  for (const { order_id } of rows.filter((row) => !isId(row.order_id))) {
    report.unwritableCount += 1;
    if (report.unwritable.length < listedMax) report.unwritable.push(order_id);
  }
  const statuses = await lastStatuses(deps.mysql, orders);
  const pushes = orders.flatMap((order) =>
    compare(order, statuses.get(order.order_id), start, report),
  );
  report.compared += orders.length;
  report.pushes += pushes.length;
  if (orders.length)
    await transactionWithOutbox(deps, async (trx, follow) => {
      await assertReaderLease(trx, lease);
      await insertPushes(trx, pushes);
      await upsertLastStatuses(trx, orders);
      follow(...pushMessagesFor(pushes));
      const detail = { after: after ?? null, orders: orders.length, pushes: pushes.length };
      if (pushes.length) await auditRepair(trx, input, 'order/repair', detail);
    });
  return rows.length < ordersPerPageMax ? undefined : rows.at(-1)?.order_id;
}

const auditRepair = (
  trx: Parameters<Parameters<typeof transactionWithOutbox<PushTables, void>>[1]>[0],
  { by: who, why }: RepairGap,
  what: string,
  detail: Record<string, unknown>,
) => audit(trx as never, { who, what, why, detail });

type Order = OrderImage & { readonly updated_at: string | null };

/** Returns a page of orders, ordered by id, after the given id or from the first on. */
async function ordersAfter(
  order: Kysely<OrderTables>,
  after: string | undefined,
): Promise<Order[]> {
  const rows = await order
    .selectFrom('order_db.order')
    .select(['order_id', 'patient_id', 'nurse_id', 'status', 'changed_by'])
    // A time in the future would make the push seem younger than it is.
    .select(sql<string | null>`least(updated_at, now(3))`.as('updated_at'))
    .$if(after !== undefined, (query) => query.where('order_id', '>', after ?? ''))
    .orderBy('order_id')
    .limit(ordersPerPageMax)
    .execute();
  return rows.map(({ status, changed_by, ...row }) => ({
    ...row,
    status: shortStatus(status ?? ''),
    changed_by: changed_by ?? '',
  }));
}

async function lastStatuses(
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
  report: Report,
): NewPush[] {
  const { order_id, patient_id, nurse_id, status, changed_by: by, updated_at } = order;
  if (seen === status) return [];
  if (seen === undefined) {
    report.unseenCount += 1;
    if (report.unseen.length < listedMax) report.unseen.push(order_id);
    return [];
  }
  const key = ['repair', place.serverUuid, place.file, place.position, order_id, seen, status];
  const push = pushFor({
    pushId: pushIdOf(key.join(':')),
    order_id,
    patient_id,
    nurse_id,
    before: seen,
    after: status,
    by,
    // The time of the change is lost: `updated_at` is the best estimate, and 1970 is too old for any push.
    changedAt: dateOrNull(updated_at) ?? new Date(0),
  });
  if (push !== 'no scenario') return [push];
  report.unexplainedCount += 1;
  if (report.unexplained.length < listedMax)
    report.unexplained.push({ order_id, seen, is: status, by });
  return [];
}

/** Ends the repair. If the reader's checkpoint was lost, it is set to the start of the comparison. */
async function finish(
  deps: GapDeps,
  input: RepairGap,
  lease: Lease,
  { place, lost, began }: Start,
  report: Report,
) {
  const { compared, pushes, unseenCount, unexplainedCount } = report;
  const detail = { compared, pushes, unseenCount, unexplainedCount, ...(lost && { lost, place }) };
  await transactionWithOutbox(deps, async (trx) => {
    await assertReaderLease(trx, lease);
    if (lost !== undefined) await writeCheckpoint(trx, lease, place);
    // The comparison has found their changes. Transactions noted after it began may concern orders already compared.
    await trx.deleteFrom('push_db.missed_transaction').where('noted_at', '<', began).execute();
    await auditRepair(trx, input, 'order/repair-end', detail);
  });
  return { outcome: 'repaired' as const, ...report };
}
