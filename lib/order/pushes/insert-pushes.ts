/** Inserts pushes and makes the messages that trigger sending them. */
import { sql, type Transaction } from 'kysely';
import { toQueue } from '../../platform/messaging/outbox.ts';
import { pushesToSend } from '../queues.ts';
import type { PushTables } from '../tables.ts';
import type { NewPush } from './new-push.ts';

/** Inserts pushes. Idempotent: a push with the same id stays unchanged, whatever its state. */
export async function insertPushes(
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

/** Returns one message for each order that has an unsent push among `pushes`. */
export const pushMessagesFor = (pushes: readonly Pick<NewPush, 'order_id' | 'state'>[]) =>
  [...new Set(pushes.flatMap(({ order_id, state }) => (state === 'unsent' ? [order_id] : [])))].map(
    (order_id) => toQueue(pushesToSend, { order_id }),
  );
