import { type Kysely, sql, type Transaction } from 'kysely';
import { Rejected } from '../../platform/errors.ts';
import { inTransaction } from '../../platform/mysql/mysql.ts';
import { filterRules } from '../filtering/filter-rules.ts';
import type { ValidCall } from '../queues.ts';
import type { CallTables } from '../tables.ts';
import { type ChargeLimits, countLastMinute, isDuplicate, paymentLogTable } from './payment-log.ts';

/** What stops the charges of all owners, or of one. */
export const stopScopes = { all: 'all', owner: (userId: string) => `owner:${userId}` } as const;

/**
 * What became of a charge that could not begin at once: it waits under a stop, its own limit set one, it could begin
 * after all, or the call has a row already.
 */
export type HoldResult = 'held' | 'all stopped' | 'owner stopped' | 'begins' | 'known';

/**
 * Writes a charge that may not be sent now as `intent`, and the stop with it where a limit is reached: the gate is
 * locked, so nobody else begins in between. Rejects what is no valid call.
 */
export async function insertHeldCharge(
  mysql: Kysely<CallTables>,
  call: ValidCall,
  amountFen: number,
  limits: ChargeLimits,
): Promise<HoldResult> {
  try {
    return await inTransaction(mysql, async (trx) => {
      await lockChargeRateLimiter(trx);
      const callType = await requireValidCall(trx, call);
      const why = await blockReason(trx, call, limits);
      if (why) await insertIntent(trx, call, amountFen, callType);
      if (why?.scope) await insertChargeStop(trx, why.scope, why.text);
      return why?.word ?? 'begins';
    });
  } catch (error) {
    if (isDuplicate(error)) return 'known';
    throw error;
  }
}

/** Everything that changes whether charges may begin is done under this lock. */
export async function lockChargeRateLimiter(trx: Transaction<CallTables>): Promise<void> {
  await trx
    .insertInto('user_prop_db.charge_gate')
    .values({ scope: stopScopes.all })
    .onDuplicateKeyUpdate({ scope: sql`charge_gate.scope` })
    .execute();
}

async function requireValidCall(
  trx: Transaction<CallTables>,
  { callLogId, userId }: ValidCall,
): Promise<number> {
  const call = await trx
    .selectFrom('user_prop_db.sublessor_call_log_201409')
    .select(['user_id', 'filter_rule', 'call_type'])
    .where('id', '=', callLogId)
    .executeTakeFirst();
  if (!call) throw new Rejected(`callLogId: there is no call ${callLogId}`);
  if (call.user_id !== userId)
    throw new Rejected(`userId: call ${callLogId} reached another owner`);
  if (call.filter_rule !== filterRules.valid)
    throw new Rejected(`callLogId: call ${callLogId} has filter_rule ${call.filter_rule}`);
  return call.call_type;
}

interface Block {
  readonly word: Exclude<HoldResult, 'begins' | 'known'>;
  /** Of the stop that is to be set. */
  readonly scope?: string;
  readonly text: string;
}

async function blockReason(
  trx: Transaction<CallTables>,
  { userId }: ValidCall,
  { perMinuteMax, perMinutePerOwnerMax }: ChargeLimits,
): Promise<Block | undefined> {
  const { all, owner } = stopScopes;
  const set = await trx
    .selectFrom('user_prop_db.charge_stop')
    .select('scope')
    .where('scope', 'in', [all, owner(userId)])
    .execute();
  if (set.length) return { word: 'held', text: 'a stop is set' };
  const count = await countLastMinute(trx, userId);
  const text = (max: number) => `more than ${max} charges in a minute`;
  if (count.all >= perMinuteMax)
    return { word: 'all stopped', scope: all, text: text(perMinuteMax) };
  if (count.owner >= perMinutePerOwnerMax)
    return { word: 'owner stopped', scope: owner(userId), text: text(perMinutePerOwnerMax) };
  return undefined;
}

async function insertIntent(
  trx: Transaction<CallTables>,
  { callLogId, userId }: ValidCall,
  amountFen: number,
  callType: number,
): Promise<void> {
  await trx
    .insertInto(paymentLogTable)
    .values({
      call_log_id: callLogId,
      user_id: userId,
      amount_fen: amountFen,
      call_type: callType,
      state: 'intent',
      announced: 0,
    })
    .execute();
}

async function insertChargeStop(trx: Transaction<CallTables>, scope: string, why: string): Promise<void> {
  await trx.insertInto('user_prop_db.charge_stop').ignore().values({ scope, why }).execute();
}
