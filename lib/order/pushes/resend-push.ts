/** Sends refused or unknown pushes again, when a person asks for it. */
import type { Kysely, Transaction } from 'kysely';
import { sql } from 'kysely';
import { type Deliver, toQueue, transactionWithOutbox } from '../../platform/messaging/outbox.ts';
import { audit } from '../../platform/operations/audit.ts';
import type { OutcomeWord } from '../../platform/outcomes.ts';
import type { Resend } from '../inputs.ts';
import { type PushState, resendable } from '../push-states.ts';
import { pushesToSend } from '../queues.ts';
import type { PushTables } from '../tables.ts';

interface ResendDeps {
  readonly mysql: Kysely<PushTables>;
  readonly deliver: Deliver;
}

/**
 * Queues the refused pushes of an order to be sent again, or one push by its id. An `unknown` push
 * needs its id, because a person must have checked that it was not sent. Their age restarts now; an
 * urgent push whose order has changed status since is still dropped.
 */
export async function resendPush(deps: ResendDeps, { order_id, push_id, by, why }: Resend) {
  return await transactionWithOutbox(deps, async (trx, follow) => {
    const rows = await lockResendable(trx, order_id, push_id);
    const pushes = rows.map((push) => push.push_id);
    if (!pushes.length) return answer('nothing-to-resend', []);
    await trx
      .updateTable('push_db.push')
      .set({
        state: 'unsent',
        reason: null,
        perhaps_sent_at: null,
        attempts: 0,
        late_from: sql<string>`now(3)`,
      })
      .where('push_id', 'in', pushes)
      .execute();
    const platform = trx as unknown as Parameters<typeof audit>[0];
    await audit(platform, { who: by, what: 'push/resend', why, detail: { order_id, pushes } });
    follow(toQueue(pushesToSend, { order_id }));
    return answer('resent', pushes);
  });
}

const answer = (outcome: OutcomeWord, pushes: readonly string[]) => ({ outcome, pushes });

async function lockResendable(trx: Transaction<PushTables>, order_id: string, push_id?: string) {
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
