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

/** Open pushes that one run looks at: they are a range of an index, whatever else is open or past. */
const looksMax = 1_000;

interface Deps {
  readonly mysql: Kysely<PushTables>;
  readonly deliver: Deliver;
  readonly settings: () => Promise<Pick<OrderSettings, 'stuckAfterMinutes'>>;
}

/** Where the last look ended: at a push of this state, made at this time. */
interface Look {
  readonly state: (typeof openStates)[number];
  readonly created_at: string;
  readonly push_id: string;
}

const firstLook: Look = { state: openStates[0], created_at: '1000-01-01 00:00:00', push_id: '' };

/**
 * Requeues the orders whose pushes are open for too long, and returns how many: their message was
 * lost, or is on the dead-letter queue. What was postponed, or is held by a switch, comes back by
 * itself. Each run looks at a portion, and the next at what follows it.
 */
export async function requeueStuckPushes(deps: Deps): Promise<number> {
  const { mysql } = deps;
  const { stuckAfterMinutes } = await deps.settings();
  const from = await lastLook(mysql);
  const { orders, next } = await openOrders(mysql, from, stuckAfterMinutes);
  const stuck = await withoutMessage(mysql, orders);
  if (!stuck.length && next === from) return 0;
  await transactionWithOutbox(deps, async (trx, follow) => {
    const { state, created_at: looked_to, push_id: looked_push } = next;
    const look = { state, looked_to, looked_push };
    await trx
      .insertInto('push_db.stuck_look')
      .values({ name: readerName, ...look })
      .onDuplicateKeyUpdate(look)
      .execute();
    follow(...pushMessagesFor(stuck.map((order_id) => ({ order_id, state: 'unsent' }))));
  });
  return stuck.length;
}

async function lastLook(mysql: Kysely<PushTables>): Promise<Look> {
  const row = await mysql
    .selectFrom('push_db.stuck_look')
    .selectAll()
    .where('name', '=', readerName)
    .executeTakeFirst();
  const state = openStates.find((one) => one === row?.state);
  return row && state ? { state, created_at: row.looked_to, push_id: row.looked_push } : firstLook;
}

/** Orders of a portion of the open pushes; `next` is the beginning again after the last one. */
async function openOrders(
  mysql: Kysely<PushTables>,
  from: Look,
  stuckAfterMinutes: number,
): Promise<{ readonly orders: readonly string[]; readonly next: Look }> {
  const orders = new Set<string>();
  let left = looksMax;
  for (const state of openStates.slice(openStates.indexOf(from.state))) {
    const after = state === from.state ? from : { ...firstLook, state };
    const rows = await pushesAfter(mysql, after, stuckAfterMinutes, left);
    for (const { order_id } of rows) orders.add(order_id);
    left -= rows.length;
    const last = rows.at(-1);
    if (left === 0 && last) return { orders: [...orders], next: { ...last, state } };
  }
  const isFirst = from.state === firstLook.state && from.push_id === firstLook.push_id;
  return { orders: [...orders], next: isFirst ? from : firstLook };
}

async function pushesAfter(
  mysql: Kysely<PushTables>,
  { state, created_at, push_id }: Look,
  stuckAfterMinutes: number,
  limit: number,
) {
  return await mysql
    .selectFrom('push_db.push')
    .select(['order_id', 'created_at', 'push_id'])
    // Else MySQL may prefer to go through all pushes that there ever were.
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

/** Of these orders the ones whose message is not postponed. */
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
