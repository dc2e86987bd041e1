/** Use case of call/resume-charging: lifts a charge stop, and requeues the charges that waited under it. */
import { type Kysely, sql, type Transaction } from 'kysely';
import type { Hand } from '../../platform/lambda/by-hand.ts';
import { type Deliver, toQueue, transactionWithOutbox } from '../../platform/messaging/outbox.ts';
import { inTransaction } from '../../platform/mysql/mysql.ts';
import { audit } from '../../platform/operations/audit.ts';
import type { CallOutcome } from '../call-outcome.ts';
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
/** With less time left, no further page is started. */
const remainingMsMin = 15_000;

/**
 * Lifts a charge stop, and requeues every charge that waited under it. Charges made so far no longer count against the
 * limits, because a person has checked them. Idempotent: a second invocation lifts nothing, and requeues the charges
 * that still wait.
 */
export async function resumeCharging(
  deps: ResumeDeps,
  input: ResumeCharging,
  { remaining, progress }: Pick<Hand, 'remaining' | 'progress'>,
): Promise<CallOutcome> {
  const { scope } = input;
  const lifted = await inTransaction(deps.mysql, (trx) => liftChargeStop(trx, input));
  const outcome = lifted ? 'lifted' : 'not-set';
  let { after } = input;
  let requeued = 0;
  for (;;) {
    const ids = await requeuePage(deps, scope, after);
    requeued += ids.length;
    after = ids.at(-1) ?? after;
    if (ids.length < rowsPerPage) return { outcome, scope, requeued };
    progress(requeued);
    if (remaining() < remainingMsMin)
      return { outcome, scope, requeued, resume: { ...input, after } };
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
  await audit(trx, { who: by, what: 'charging/resume', why, detail: { scope } });
  return true;
}

/** Requeues the next page of intents that no charge stop blocks, and returns their ids. */
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
