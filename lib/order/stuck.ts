import { type Kysely, sql } from 'kysely';
import { commit, type Deliver } from '../platform/outbox.ts';
import { nudgesFor } from './batches.ts';
import { pushesToSend } from './queues.ts';
import type { OrderSettings } from './settings.ts';
import type { PushTables } from './tables.ts';

const ordersPerSweepMax = 500;

/**
 * Names the orders once more whose pushes are open for too long, and returns how many: their
 * message was lost, or set aside. What was put off, or is held by a switch, comes back by itself.
 */
export async function nudgeStuck(deps: {
  readonly mysql: Kysely<PushTables>;
  readonly deliver: Deliver;
  readonly settings: () => Promise<Pick<OrderSettings, 'stuckAfterMinutes'>>;
}): Promise<number> {
  const { stuckAfterMinutes } = await deps.settings();
  const stuck = await deps.mysql
    .selectFrom('push_db.push')
    .select('order_id')
    .distinct()
    .where('state', 'in', ['unsent', 'in hand'])
    .where('created_at', '<', sql<string>`now(3) - interval ${stuckAfterMinutes} minute`)
    .where(({ not, exists, selectFrom }) =>
      not(
        exists(
          selectFrom('signalbox.outbox as put_off')
            .select('put_off.id')
            .where('put_off.dedupe_key', '=', dedupeKey),
        ),
      ),
    )
    .orderBy('order_id')
    .limit(ordersPerSweepMax)
    .execute();
  if (!stuck.length) return 0;
  await commit(deps, async (_, follow) => {
    follow(...nudgesFor(stuck.map(({ order_id }) => ({ order_id, state: 'unsent' }))));
  });
  return stuck.length;
}

/** Of the outbox row that a message about this order has while it is put off (lib/platform/outbox.ts). */
const dedupeKey = sql<Buffer>`unhex(sha2(
  concat('queue:', ${pushesToSend.id}, '\n{"order_id":"', push.order_id, '"}'), 256))`;
