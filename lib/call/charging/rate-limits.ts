/** Limits of charges per minute: inserts a charge that a limit or a charge stop blocks, and sets the stop. */
import { type Kysely, sql, type Transaction } from 'kysely';
import { Rejected } from '../../platform/errors.ts';
import { inTransaction } from '../../platform/mysql/mysql.ts';
import { filterRules } from '../filtering/filter-rules.ts';
import type { ValidCall } from '../queues.ts';
import type { CallTables } from '../tables.ts';
import { type ChargeLimits, countLastMinute, isDuplicate, paymentLogTable } from './payment-log.ts';

/** Scopes of a charge stop: everybody, or one owner. */
export const stopScopes = { all: 'all', owner: (userId: string) => `owner:${userId}` } as const;

/**
 * What became of a blocked charge. `waiting`: it is an `intent` under a charge stop. `charging-stopped`,
 * `owner-stopped`: it is an `intent`, and reaching a limit has set the stop. `not-blocked`: nothing blocks it any more,
 * so nothing was inserted. `already-inserted`: the call has a row.
 */
export type HoldResult =
  | 'waiting'
  | 'charging-stopped'
  | 'owner-stopped'
  | 'not-blocked'
  | 'already-inserted';

/**
 * Inserts a charge that may not be sent now as `intent`, together with the charge stop if a limit is reached. Locks the
 * rate limiter, so no other charge starts meanwhile. Rejects a call that is not valid.
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
      const block = await blockReason(trx, call, limits);
      if (!block) return 'not-blocked';
      await insertIntent(trx, call, amountFen, callType);
      if (block.scope) await insertChargeStop(trx, block.scope, block.why);
      return block.result;
    });
  } catch (error) {
    if (isDuplicate(error)) return 'already-inserted';
    throw error;
  }
}

/** Locks the row that serialises everything which decides whether charges may start. */
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
  readonly result: Exclude<HoldResult, 'not-blocked' | 'already-inserted'>;
  /** Scope of the charge stop to set; absent if one is set already. */
  readonly scope?: string;
  readonly why: string;
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
  if (set.length) return { result: 'waiting', why: 'a stop is set' };
  const count = await countLastMinute(trx, userId);
  const why = (max: number) => `more than ${max} charges in a minute`;
  if (count.all >= perMinuteMax)
    return { result: 'charging-stopped', scope: all, why: why(perMinuteMax) };
  if (count.owner >= perMinutePerOwnerMax)
    return { result: 'owner-stopped', scope: owner(userId), why: why(perMinutePerOwnerMax) };
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

async function insertChargeStop(
  trx: Transaction<CallTables>,
  scope: string,
  why: string,
): Promise<void> {
  await trx.insertInto('user_prop_db.charge_stop').ignore().values({ scope, why }).execute();
}
