/** Requeues orders whose open pushes have no message any more. */
import { type Kysely, sql } from 'kysely';
import {
  type Deliver,
  postponedKey,
  transactionWithOutbox,
} from '../../platform/messaging/outbox.ts';
import { readerName } from '../checkpoints.ts';
import { openStates } from '../push-states.ts';
import { pushesToSend } from '../queues.ts';
import type { OrderSettings } from '../settings.ts';
import type { PushTables } from '../tables.ts';
import { pushMessagesFor } from './insert-pushes.ts';

/** Open pushes that one run reads: a range of an index, so its cost does not depend on all other pushes. */
const pushesPerRunMax = 1_000;

interface Deps {
  readonly mysql: Kysely<PushTables>;
  readonly deliver: Deliver;
  readonly settings: () => Promise<Pick<OrderSettings, 'stuckAfterMinutes'>>;
}

/** The cursor: the last push that a run has looked at. */
interface Cursor {
  readonly state: (typeof openStates)[number];
  readonly created_at: string;
  readonly push_id: string;
}

const start: Cursor = { state: openStates[0], created_at: '1000-01-01 00:00:00', push_id: '' };

/**
 * Requeues orders whose pushes have been open for too long, and returns their number: their message was
 * lost or dead-lettered. A postponed message, or one that a kill switch holds, returns by itself.
 * Each run reads a page of the open pushes, and the next run resumes after it.
 */
export async function requeueStuckPushes(deps: Deps): Promise<number> {
  const { mysql } = deps;
  const { stuckAfterMinutes } = await deps.settings();
  const from = await readCursor(mysql);
  const { orders, next } = await openOrders(mysql, from, stuckAfterMinutes);
  const stuck = await withoutMessage(mysql, orders);
  if (!stuck.length && next === from) return 0;
  await transactionWithOutbox(deps, async (trx, follow) => {
    const { state, created_at: looked_to, push_id: looked_push } = next;
    const cursor = { state, looked_to, looked_push };
    await trx
      .insertInto('push_db.stuck_look')
      .values({ name: readerName, ...cursor })
      .onDuplicateKeyUpdate(cursor)
      .execute();
    follow(...pushMessagesFor(stuck.map((order_id) => ({ order_id, state: 'unsent' }))));
  });
  return stuck.length;
}

async function readCursor(mysql: Kysely<PushTables>): Promise<Cursor> {
  const row = await mysql
    .selectFrom('push_db.stuck_look')
    .selectAll()
    .where('name', '=', readerName)
    .executeTakeFirst();
  const state = openStates.find((one) => one === row?.state);
  return row && state ? { state, created_at: row.looked_to, push_id: row.looked_push } : start;
}

/** Returns the orders of a page of open pushes. `next` is the start again after the last page. */
async function openOrders(
  mysql: Kysely<PushTables>,
  from: Cursor,
  stuckAfterMinutes: number,
): Promise<{ readonly orders: readonly string[]; readonly next: Cursor }> {
  const orders = new Set<string>();
  let left = pushesPerRunMax;
  for (const state of openStates.slice(openStates.indexOf(from.state))) {
    const after = state === from.state ? from : { ...start, state };
    const rows = await pushesAfter(mysql, after, stuckAfterMinutes, left);
    for (const { order_id } of rows) orders.add(order_id);
    left -= rows.length;
    const last = rows.at(-1);
    if (left === 0 && last) return { orders: [...orders], next: { ...last, state } };
  }
  const isStart = from.state === start.state && from.push_id === start.push_id;
  return { orders: [...orders], next: isStart ? from : start };
}

async function pushesAfter(
  mysql: Kysely<PushTables>,
  { state, created_at, push_id }: Cursor,
  stuckAfterMinutes: number,
  limit: number,
) {
  return await mysql
    .selectFrom('push_db.push')
    .select(['order_id', 'created_at', 'push_id'])
    // Without this hint MySQL may scan all pushes in the table.
    .modifyFront(sql`/*+ index(push by_state) */`)
    .where('state', '=', state)
    .where('created_at', '<', sql<string>`now(3) - interval ${stuckAfterMinutes} minute`)
    .where('created_at', '>=', created_at)
    .where((where) =>
      where.or([where('created_at', '>', created_at), where('push_id', '>', push_id)]),
    )
    .orderBy('created_at')
    .orderBy('push_id')
    .limit(limit)
    .execute();
}

/** Returns those of the orders that have no postponed message in the outbox. */
async function withoutMessage(
  mysql: Kysely<PushTables>,
  orders: readonly string[],
): Promise<string[]> {
  if (!orders.length) return [];
  const keys = new Map(
    orders.map((order_id) => {
      const key = postponedKey(pushesToSend, JSON.stringify({ order_id }));
      return [key.toString('hex'), { order_id, key }] as const;
    }),
  );
  const postponed = await mysql
    .selectFrom('signalbox.outbox')
    .select('dedupe_key')
    .where(
      'dedupe_key',
      'in',
      [...keys.values()].map(({ key }) => key),
    )
    .execute();
  for (const { dedupe_key } of postponed) keys.delete(dedupe_key?.toString('hex') ?? '');
  return [...keys.values()].map(({ order_id }) => order_id);
}
