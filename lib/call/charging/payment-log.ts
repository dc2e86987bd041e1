import { CompiledQuery, type Kysely, sql, type Transaction } from 'kysely';
import { type ChargeState, statesLeadingTo } from '../charge-states.ts';
import { filterRules } from '../filtering/filter-rules.ts';
import type { ValidCall } from '../queues.ts';
import { leaseSeconds } from '../row-lease.ts';
import type { CallTables } from '../tables.ts';

/** A charge in the payment log. Reversals stand there, too: call/reverse-charge alone sees to them. */
export interface Charge {
  /** For ever its trade_id at the payment centre. */
  readonly id: string;
  readonly callLogId: string;
  readonly userId: string;
  readonly amountFen: number;
  readonly state: ChargeState;
  /** Which sending of it this is; part of every write that is no final answer. */
  readonly fencingToken: number;
  /** How often it was asked about. */
  readonly queryCount: number;
}

/** How many charges may begin in a minute. */
export interface ChargeLimits {
  readonly perMinuteMax: number;
  readonly perMinutePerOwnerMax: number;
}

export const paymentLogTable = 'user_prop_db.sublessor_call_payment_log_201409';
const callLogTable = 'user_prop_db.sublessor_call_log_201409';
const duplicateEntry = 1062;

/** Rows that began so long ago are certainly older than a minute, however long they waited for the gate. */
const windowAndLockWaitSeconds = 65;

const paymentLogRef = sql.table(paymentLogTable);
/** That neither all charging nor this owner's is stopped. */
export const noChargeStop = (user: string) => sql<boolean>`not exists (
  select 1 from user_prop_db.charge_stop where scope in ('all', concat('owner:', ${sql.ref(user)})))`;

/** Those of the last minute, the gate's row in `gate` and the call's in `this`; a correlated read comes after its lock. */
const countedCondition = `row_of_it.created_at >= now(3) - interval 60 second
  and row_of_it.id > gate.counted_after_id and row_of_it.call_log_id is not null`;

/**
 * Writes a charge straight as `sent`, in one statement: its number is given here, before the payment centre is asked,
 * and the unique call is the check. Gives its id; `held` where a stop, a limit or the call itself stands against it;
 * `known` where the call has a row.
 *
 * The gate's row is locked first, so those who begin do so one after the other and none is over a limit. Counting is
 * left out where not even the ids given since could be too many.
 */
export async function insertCharge(
  mysql: Kysely<CallTables>,
  { callLogId, userId }: ValidCall,
  amountFen: number,
  { perMinuteMax, perMinutePerOwnerMax }: ChargeLimits,
): Promise<{ readonly id: string } | 'held' | 'known'> {
  const least = Math.min(perMinuteMax, perMinutePerOwnerMax);
  const values = [amountFen, callLogId, userId, least, perMinuteMax, perMinutePerOwnerMax];
  try {
    const { insertId, numAffectedRows } = await mysql.executeQuery(
      CompiledQuery.raw(insertChargeSql, values),
    );
    return numAffectedRows ? { id: String(insertId) } : 'held';
  } catch (error) {
    if (isDuplicate(error)) return 'known';
    throw error;
  }
}

/** Written out, for it is sent as it stands: to put it together anew would take longer than to send it. */
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

/** How many charges count against the limits at this moment, of all owners and of this one. */
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

export async function findCharge(
  mysql: Kysely<CallTables>,
  { callLogId }: Pick<ValidCall, 'callLogId'>,
): Promise<Charge | undefined> {
  const [charge] = await selectCharges(mysql)
    .where('call_log_id', '=', callLogId)
    .execute()
    .then(toCharges);
  return charge;
}

/** All charges, to be narrowed down. */
export const selectCharges = (mysql: Kysely<CallTables>) =>
  mysql
    .selectFrom(paymentLogTable)
    .select(['id', 'call_log_id', 'user_id', 'amount_fen', 'state', 'epoch', 'asked'])
    .where('call_log_id', 'is not', null);

type Row = Awaited<ReturnType<ReturnType<typeof selectCharges>['execute']>>[number];

export const toCharges = (rows: readonly Row[]): Charge[] =>
  rows.map(({ call_log_id, user_id, amount_fen, ...row }) => ({
    ...row,
    callLogId: String(call_log_id),
    userId: user_id,
    amountFen: Number(amount_fen),
  }));

/**
 * Takes a row that waits, or that the payment centre has never seen, in hand to be sent (again), unless a stop is set:
 * the row under its new epoch, undefined where it is not to be had.
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
  return numUpdatedRows ? { ...charge, state: 'sent', fencingToken: charge.fencingToken + 1 } : undefined;
}

/**
 * Writes a final answer; false where one was written before, which stands. Whoever asked, and whenever: what the
 * payment centre has answered once is so for ever.
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

/** Written out like `beginning`. */
const finalResultSql = (state: 'charged' | 'refused'): string => `
  update ${paymentLogTable} set state = ?, balance_fen = ?, reason = ?, in_hand_until = null, ask_at = null
  where id = ? and state in (${statesLeadingTo(state).map((from) => `'${from}'`)})`;

/**
 * Writes that what was sent has no final answer, unless the row is not as it was sent any more. Without a time it is
 * never asked about.
 */
export async function releaseWithoutResult(
  mysql: Kysely<CallTables>,
  { id, fencingToken: epoch }: Pick<Charge, 'id' | 'epoch'>,
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
    .where('epoch', '=', epoch)
    .execute();
}

/** The message that goes on with a charge: always the same text, so that of several put off one row is made. */
export const chargeCallMessage = ({ callLogId, userId }: Charge): ValidCall => ({
  callLogId,
  userId,
});
