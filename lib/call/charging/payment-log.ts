/** The payment log's rows: inserts charges, leases them for sending and stores their results. */
import { CompiledQuery, type Kysely, sql, type Transaction } from 'kysely';
import { type ChargeState, statesLeadingTo } from '../charge-states.ts';
import { filterRules } from '../filtering/filter-rules.ts';
import type { ValidCall } from '../queues.ts';
import { leaseSeconds } from '../row-lease.ts';
import type { CallTables } from '../tables.ts';

/** A charge in the payment log. The log also holds reversals, which settlement/reverse-charge.ts makes. */
export interface Charge {
  /** Also its trade_id at the payment centre; it never changes. */
  readonly id: string;
  readonly callLogId: string;
  readonly userId: string;
  readonly amountFen: number;
  readonly state: ChargeState;
  /** Column `epoch`: grows with each lease for sending. Every write except a final result checks it. */
  readonly fencingToken: number;
  /** Column `asked`: how many status queries were made. */
  readonly queryCount: number;
}

/** How many charges may start in a minute. */
export interface ChargeLimits {
  readonly perMinuteMax: number;
  readonly perMinutePerOwnerMax: number;
}

export const paymentLogTable = 'user_prop_db.sublessor_call_payment_log_201409';
const callLogTable = 'user_prop_db.sublessor_call_log_201409';
const duplicateEntry = 1062;

/** Rows older than this are outside the window of 60 s, even if their insert waited for the lock of the gate row. */
const windowAndLockWaitSeconds = 65;

const paymentLogRef = sql.table(paymentLogTable);

/** Condition: no charge stop is set, neither for everybody nor for this owner. */
export const noChargeStop = (user: string) => sql<boolean>`not exists (
  select 1 from user_prop_db.charge_stop where scope in ('all', concat('owner:', ${sql.ref(user)})))`;

/**
 * Charges of the last 60 s. The subquery refers to `gate` so that MySQL evaluates it after locking the gate row.
 */
const countedCondition = `row_of_it.created_at >= now(3) - interval 60 second
  and row_of_it.id > gate.counted_after_id and row_of_it.call_log_id is not null`;

/**
 * Inserts a charge as `sent` in one statement, before the payment centre is asked; the unique key on the call makes it
 * idempotent. Returns the new id; `blocked` if a charge stop, a limit or the call itself forbids the charge;
 * `already-inserted` if the call has a row.
 *
 * The statement locks the gate row first, so inserts run one after another and none exceeds a limit. It counts rows
 * only if the ids assigned in the window could exceed the lowest limit.
 */
export async function insertCharge(
  mysql: Kysely<CallTables>,
  { callLogId, userId }: ValidCall,
  amountFen: number,
  { perMinuteMax, perMinutePerOwnerMax }: ChargeLimits,
): Promise<{ readonly id: string } | 'blocked' | 'already-inserted'> {
  const least = Math.min(perMinuteMax, perMinutePerOwnerMax);
  const values = [amountFen, callLogId, userId, least, perMinuteMax, perMinutePerOwnerMax];
  try {
    const { insertId, numAffectedRows } = await mysql.executeQuery(
      CompiledQuery.raw(insertChargeSql, values),
    );
    return numAffectedRows ? { id: String(insertId) } : 'blocked';
  } catch (error) {
    if (isDuplicate(error)) return 'already-inserted';
    throw error;
  }
}

/** A constant text, because building this query for every charge takes longer than executing it. */
const insertChargeSql = `
  insert into ${paymentLogTable}
    (call_log_id, user_id, amount_fen, call_type, state, sent_at, in_hand_until, announced)
  select this.id, this.user_id, ?, this.call_type, 'sent', now(3),
    now(3) + interval ${leaseSeconds} second, 0
  from user_prop_db.charge_gate gate straight_join ${callLogTable} this
  where gate.scope = 'all' and this.id = ? and this.user_id = ?
    and this.filter_rule = ${filterRules.valid}
    and not exists (select 1 from user_prop_db.charge_stop
      where scope in ('all', concat('owner:', this.user_id)))
    and ((select max(id) from ${paymentLogTable} last_of_all where id > gate.counted_after_id)
        - coalesce((select id from ${paymentLogTable} before_it
            where created_at < now(3) - interval ${windowAndLockWaitSeconds} second
            order by created_at desc limit 1), (select min(id) - 1 from ${paymentLogTable} first_of_all))
        < ?
      or (select count(*) from ${paymentLogTable} row_of_it where ${countedCondition}) < ?
        and (select count(*) from ${paymentLogTable} row_of_it where ${countedCondition}
            and row_of_it.user_id = this.user_id and row_of_it.id > coalesce((
              select counted_after_id from user_prop_db.charge_gate
              where scope = concat('owner:', this.user_id)), 0)) < ?)
  for update`;

export const isDuplicate = (error: unknown): boolean =>
  error instanceof Error && 'errno' in error && error.errno === duplicateEntry;

/** Counts the charges of the last 60 s that count against the limits: of all owners, and of this one. */
export async function countLastMinute(
  trx: Transaction<CallTables>,
  userId: string,
): Promise<{ readonly all: number; readonly owner: number }> {
  const { rows } = await sql<{ all_owners: string; this_owner: string }>`
    select count(*) all_owners, coalesce(sum(row_of_it.user_id = ${userId} and row_of_it.id > coalesce((
      select counted_after_id from user_prop_db.charge_gate
      where scope = concat('owner:', ${userId})), 0)), 0) this_owner
    from user_prop_db.charge_gate gate join ${paymentLogRef} row_of_it
    where gate.scope = 'all' and ${sql.raw(countedCondition)}`.execute(trx);
  const [counts] = rows;
  return { all: Number(counts?.all_owners), owner: Number(counts?.this_owner) };
}

/** Returns the charge of a call, if it has one. */
export async function findCharge(
  mysql: Kysely<CallTables>,
  { callLogId }: Pick<ValidCall, 'callLogId'>,
): Promise<Charge | undefined> {
  const rows = await selectCharges(mysql).where('call_log_id', '=', callLogId).execute();
  return toCharges(rows)[0];
}

/** Starts a query over all charges, without reversals; callers add conditions. */
export const selectCharges = (mysql: Kysely<CallTables>) =>
  mysql
    .selectFrom(paymentLogTable)
    .select(['id', 'call_log_id', 'user_id', 'amount_fen', 'state', 'epoch', 'asked'])
    .where('call_log_id', 'is not', null);

type Row = Awaited<ReturnType<ReturnType<typeof selectCharges>['execute']>>[number];

export const toCharges = (rows: readonly Row[]): Charge[] =>
  rows.map(({ id, call_log_id, user_id, amount_fen, state, epoch, asked }) => ({
    id,
    callLogId: String(call_log_id),
    userId: user_id,
    amountFen: Number(amount_fen),
    state,
    fencingToken: epoch,
    queryCount: asked,
  }));

/**
 * Leases a charge for sending: an `intent`, or an `unknown` one that the payment centre has never seen. Returns the
 * charge with its new fencing token; `undefined` if a charge stop is set or another worker changed the row first.
 */
export async function leaseForSending(
  mysql: Kysely<CallTables>,
  charge: Charge,
): Promise<Charge | undefined> {
  if (!statesLeadingTo('sent').includes(charge.state)) return undefined;
  const { numUpdatedRows } = await mysql
    .updateTable(paymentLogTable)
    .set({
      state: 'sent',
      epoch: charge.fencingToken + 1,
      sent_at: sql<string>`now(3)`,
      in_hand_until: sql<string>`now(3) + interval ${sql.lit(leaseSeconds)} second`,
      ask_at: null,
    })
    .where('id', '=', charge.id)
    .where('state', '=', charge.state)
    .where('epoch', '=', charge.fencingToken)
    .where(noChargeStop('user_id'))
    .executeTakeFirst();
  if (!numUpdatedRows) return undefined;
  return { ...charge, state: 'sent', fencingToken: charge.fencingToken + 1 };
}

/**
 * Stores the final result. Returns false if one is already stored: the payment centre's first answer never changes.
 * Needs no fencing token for the same reason.
 */
export async function recordFinalResult(
  mysql: Kysely<CallTables>,
  { id }: Pick<Charge, 'id'>,
  state: 'charged' | 'refused',
  {
    balanceFen = null,
    reason = null,
  }: {
    readonly balanceFen?: number | null | undefined;
    readonly reason?: string | null;
  },
): Promise<boolean> {
  const { numAffectedRows } = await mysql.executeQuery(
    CompiledQuery.raw(finalResultSql(state), [state, balanceFen, reason, id]),
  );
  return numAffectedRows === 1n;
}

/** A constant text per state, like `insertChargeSql`. */
const finalResultSql = (state: 'charged' | 'refused'): string => `
  update ${paymentLogTable} set state = ?, balance_fen = ?, reason = ?, in_hand_until = null, ask_at = null
  where id = ? and state in (${statesLeadingTo(state).map((from) => `'${from}'`)})`;

/**
 * Ends the lease of a sent charge that has no final result, unless another worker has taken the row over. Without
 * `afterSeconds` the charge is never queried.
 */
export async function releaseWithoutResult(
  mysql: Kysely<CallTables>,
  { id, fencingToken }: Pick<Charge, 'id' | 'fencingToken'>,
  state: 'unknown' | 'intent',
  {
    afterSeconds,
    reason = null,
  }: { readonly afterSeconds?: number; readonly reason?: string | null },
): Promise<void> {
  const later = (seconds: number) => sql<string>`now(3) + interval ${sql.lit(seconds)} second`;
  await mysql
    .updateTable(paymentLogTable)
    .set({
      state,
      reason,
      in_hand_until: null,
      ask_at: afterSeconds === undefined ? null : later(afterSeconds),
    })
    .where('id', '=', id)
    .where('state', '=', 'sent')
    .where('epoch', '=', fencingToken)
    .execute();
}

/**
 * The message that resumes a charge. Byte-identical every time, so postponed duplicates collapse into one outbox row.
 */
export const chargeCallMessage = ({ callLogId, userId }: Charge): ValidCall => ({
  callLogId,
  userId,
});
