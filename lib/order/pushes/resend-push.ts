import type { Kysely, Transaction } from 'kysely';
import { sql } from 'kysely';
import { type Deliver, toQueue, transactionWithOutbox } from '../../platform/messaging/outbox.ts';
import { audit } from '../../platform/operations/audit.ts';
import type { Resend } from '../inputs.ts';
import { type PushState, resendable } from '../push-states.ts';
import { pushesToSend } from '../queues.ts';
import type { PushTables } from '../tables.ts';

interface ResendDeps {
  readonly mysql: Kysely<PushTables>;
  readonly deliver: Deliver;
}

/**
 * Has pushes sent again that were refused, once the reason is mended, or, named by its id, one of
 * which it is unknown whether it was sent: whoever asks for that has found out that it was not.
 * They are as old as this moment; an urgent one whose order has moved on is still withheld.
 */
export async function resendPush(deps: ResendDeps, { order_id, push_id, by, why }: Resend) {
  return await transactionWithOutbox(deps, async (trx, follow) => {
    const found = await ended(trx, order_id, push_id);
    if (!found.length) return { outcome: 'nothing to send again', pushes: [] };
    const pushes = found.map((push) => push.push_id);
    await trx
      .updateTable('push_db.push')
      .set({
        ...{ state: 'unsent', reason: null, perhaps_sent_at: null, attempts: 0 },
        late_from: sql<string>`now(3)`,
      })
      .where('push_id', 'in', pushes)
      .execute();
    const platform = trx as unknown as Parameters<typeof audit>[0];
    await audit(platform, { who: by, what: 'push/resend', why, detail: { order_id, pushes } });
    follow(toQueue(pushesToSend, { order_id }));
    return { outcome: 'sent again', pushes };
  });
}

async function ended(trx: Transaction<PushTables>, order_id: string, push_id?: string) {
  const states: readonly PushState[] = push_id ? resendable : ['refused'];
  return await trx
    .selectFrom('push_db.push')
    .select('push_id')
    .where('order_id', '=', order_id)
    .where('state', 'in', states)
    .$if(push_id !== undefined, (query) => query.where('push_id', '=', push_id ?? ''))
    .orderBy('sequence')
    .forUpdate()
    .execute();
}
