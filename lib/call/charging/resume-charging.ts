import { type Kysely, sql, type Transaction } from 'kysely';
import type { Hand } from '../../platform/lambda/by-hand.ts';
import { type Deliver, toQueue, transactionWithOutbox } from '../../platform/messaging/outbox.ts';
import { inTransaction } from '../../platform/mysql/mysql.ts';
import { audit } from '../../platform/operations/audit.ts';
import type { ResumeCharging } from '../inputs.ts';
import { callsToCharge } from '../queues.ts';
import type { CallTables } from '../tables.ts';
import {
  chargeCallMessage,
  noChargeStop,
  paymentLogTable,
  selectCharges,
  toCharges,
} from './payment-log.ts';
import { lockChargeRateLimiter, stopScopes } from './rate-limits.ts';

interface ResumeDeps {
  readonly mysql: Kysely<CallTables>;
  readonly deliver: Deliver;
}

const rowsPerPage = 500;
const remainingMsMin = 15_000;

/**
 * Lifts a stop, and sends on every charge that waited under it. What has begun so far counts against no limit any
 * more: a person has looked at it. Started again it goes on where it stopped, and lifts nothing twice.
 */
export async function resumeCharging(
  deps: ResumeDeps,
  input: ResumeCharging,
  { remaining, progress }: Pick<Hand, 'remaining' | 'progress'>,
) {
  const { scope } = input;
  const lifted = await inTransaction(deps.mysql, (trx) => liftChargeStop(trx, input));
  const outcome = lifted ? 'lifted' : 'not set';
  let { after } = input;
  let nudged = 0;
  for (;;) {
    const ids = await requeuePage(deps, scope, after);
    nudged += ids.length;
    after = ids.at(-1) ?? after;
    if (ids.length < rowsPerPage) return { outcome, scope, nudged };
    progress(nudged);
    if (remaining() < remainingMsMin) return { outcome, scope, nudged, resume: { ...input, after } };
  }
}

async function liftChargeStop(
  trx: Transaction<CallTables>,
  { scope, by, why }: ResumeCharging,
): Promise<boolean> {
  await lockChargeRateLimiter(trx);
  const { numDeletedRows } = await trx
    .deleteFrom('user_prop_db.charge_stop')
    .where('scope', '=', scope)
    .executeTakeFirst();
  if (!numDeletedRows) return false;
  const counted_after_id = sql<string>`(select coalesce(max(id), 0) from ${sql.table(paymentLogTable)})`;
  await trx
    .insertInto('user_prop_db.charge_gate')
    .values({ scope, counted_after_id })
    .onDuplicateKeyUpdate({ counted_after_id: sql`values(counted_after_id)` })
    .execute();
  const platform = trx as unknown as Parameters<typeof audit>[0];
  await audit(platform, { who: by, what: 'charging/resume', why, detail: { scope } });
  return true;
}

/** The ids of the next intents that no stop holds, each with its message under way. */
async function requeuePage(deps: ResumeDeps, scope: string, after: string): Promise<string[]> {
  return await transactionWithOutbox(deps, async (trx, follow) => {
    const waiting = selectCharges(trx)
      .where('state', '=', 'intent')
      .where('id', '>', after)
      .where(noChargeStop('user_id'));
    const [, owner] = scope.split(':');
    const rows = await (scope === stopScopes.all || !owner
      ? waiting
      : waiting.where('user_id', '=', owner)
    )
      .orderBy('id')
      .limit(rowsPerPage)
      .execute();
    follow(...toCharges(rows).map((charge) => toQueue(callsToCharge, chargeCallMessage(charge))));
    return rows.map(({ id }) => id);
  });
}
