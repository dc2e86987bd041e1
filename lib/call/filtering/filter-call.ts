import { type Kysely, type Selectable, sql, type Transaction } from 'kysely';
import { Rejected } from '../../platform/errors.ts';
import { type Deliver, toQueue, transactionWithOutbox } from '../../platform/messaging/outbox.ts';
import { digitsOf, maskNumber } from '../phone-numbers.ts';
import { callsToCharge, type FinishedCall } from '../queues.ts';
import { type FirstCallSwitchOff, postponeIfSwitchedOff } from '../row-lease.ts';
import type { CallSettings } from '../settings.ts';
import type { CallLog, CallTables } from '../tables.ts';
import { connected, type FilterRule, filterRules, evaluateRules, type CallHistory } from './filter-rules.ts';

export interface FilterDeps {
  readonly mysql: Kysely<CallTables>;
  readonly settings: () => Promise<CallSettings>;
  readonly deliver: Deliver;
}

const callLogTable = 'user_prop_db.sublessor_call_log_201409';
/** In shadow mode the old system writes the table above; ours has the same columns, and is treated as if it were it. */
const shadowLogTable = 'user_prop_db.call_shadow_log' as typeof callLogTable;
const logFor = ({ shadow }: Pick<CallSettings, 'shadow'>) => (shadow ? shadowLogTable : callLogTable);
const duplicateEntry = 1062;

/** What happened to a call, by the rule it falls under. */
const outcomeByRule: Readonly<Record<FilterRule, string>> = {
  [filterRules.valid]: 'valid',
  [filterRules.notConnected]: 'not connected',
  [filterRules.tooShort]: 'too short',
  [filterRules.calledBefore]: 'called before',
  [filterRules.broker]: 'broker',
};

/** Kill switch: no call is written down or decided; each waits as a message. */
export const filterSwitch = 'call/filter-call';

interface GuardDeps extends FilterDeps {
  readonly firstSwitchOff: FirstCallSwitchOff;
  /** Throws `Postponed` until all brokers' numbers are known (lib/call/filtering/broker-phone-runs.ts). */
  readonly requireBrokersKnown: () => Promise<void>;
}

/** Filters a call unless the kill switch is off, and not before all brokers' numbers are known. */
export async function filterCall(deps: GuardDeps, call: FinishedCall) {
  await postponeIfSwitchedOff(deps.firstSwitchOff, filterSwitch);
  await deps.requireBrokersKnown();
  return await filterAndQueue(deps, call);
}

/**
 * Writes a finished call down, then decides whether its owner pays for it. In shadow mode all of that is kept apart
 * from what the old system writes, and nobody pays.
 */
export async function filterAndQueue(deps: FilterDeps, call: FinishedCall) {
  const settings = await deps.settings();
  const { '400_postcallinfo_dyz': connection } = settings;
  if (!connection.routing_keys.includes(call.routing_key))
    throw new Rejected(`routing_key: ${call.routing_key} is none of ours`);
  return await decideCall(deps, await insertCall(deps.mysql, logFor(settings), call), settings);
}

/** The id of the call's row. The same call again is that row; another call under its name is rejected. */
async function insertCall(
  mysql: Kysely<CallTables>,
  log: typeof callLogTable,
  call: FinishedCall,
): Promise<string> {
  const { routing_key: _, ...row } = call;
  try {
    const { insertId } = await mysql
      .insertInto(log)
      .values({ ...row, caller_digits: digitsOf(call.caller) })
      .executeTakeFirstOrThrow();
    return String(insertId);
  } catch (error) {
    if (!(error instanceof Error && 'errno' in error && error.errno === duplicateEntry))
      throw error;
    const { call_id } = call;
    const find = mysql.selectFrom(log).selectAll().where('call_id', '=', call_id);
    const known = await find.executeTakeFirstOrThrow();
    const differing = differencesBetween(known, call);
    if (differing.length)
      throw new Rejected(`Call ${call_id} is known otherwise: ${differing.join('; ')}`);
    return known.id;
  }
}

/** What the old system has written in its own way is compared by owner and start only. */
const importedFields = ['user_id', 'started_at'] as const;
const comparedFields = [
  ...importedFields,
  ...(['caller', 'callee', 'status', 'duration', 'call_type'] as const),
];

/** What of a call is other than it was when its name was first seen. Telephone numbers are compared by their digits. */
function differencesBetween(known: Selectable<CallLog>, call: FinishedCall): string[] {
  const differing = (isImported(known) ? importedFields : comparedFields).filter(
    (field) => comparable(field, known[field]) !== comparable(field, call[field]),
  );
  const text = (field: string, value: unknown) =>
    field === 'caller' || field === 'callee' ? maskNumber(String(value)) : String(value);
  return differing.map(
    (field) => `${field} is ${text(field, known[field])}, not ${text(field, call[field])}`,
  );
}

const isImported = ({ decision }: Selectable<CallLog>): boolean =>
  typeof decision === 'object' && decision !== null && 'imported' in decision;

function comparable(field: string, value: string | number): string {
  const isNumber = field === 'caller' || field === 'callee';
  return (isNumber && digitsOf(String(value))) || String(value);
}

/**
 * Decides a call, once and for good. Calls of one caller to one owner are decided one after the other, so that each
 * sees what was decided before it; a valid one goes on to be charged in the same transaction. `given` are the
 * settings by which the call's row was found: the mode says in which log, and may change at any time.
 */
export async function decideCall(deps: FilterDeps, callLogId: string, given?: CallSettings) {
  const settings = given ?? (await deps.settings());
  const apartSeconds = settings.filter_last_call_time_rule_threshold;
  const log = logFor(settings);
  return await transactionWithOutbox(deps, async (trx, follow) => {
    await lockPair(trx, log, callLogId);
    const call = await loadCallWithNeighbours(trx, log, callLogId, apartSeconds);
    if (call.filter_rule !== null) return { outcome: 'decided before', callLogId };
    const { status, duration: durationSeconds, started_at: startedAt } = call;
    const known: CallHistory = {
      connectedBeforeAt: call.connected_before_at,
      validAfterAt: call.valid_after_at,
      isBroker: Number(call.is_broker) === 1,
    };
    const limits = { durationSeconds: settings.filter_call_time_rule_threshold, apartSeconds };
    const judgement = evaluateRules({ status, durationSeconds, startedAt }, known, limits);
    const { filterRule } = judgement;
    await trx
      .updateTable(log)
      .set({
        filter_rule: filterRule,
        decided_at: sql<string>`now(3)`,
        decision: JSON.stringify(judgement),
      })
      .where('id', '=', callLogId)
      .execute();
    if (settings.shadow) return { outcome: 'shadowed', callLogId, filterRule };
    if (filterRule === filterRules.valid)
      follow(toQueue(callsToCharge, { callLogId, userId: call.user_id }));
    return { outcome: outcomeByRule[filterRule], callLogId, filterRule };
  });
}

/** The row that all calls of this caller to this owner share; made by the first of them. */
async function lockPair(
  trx: Transaction<CallTables>,
  log: typeof callLogTable,
  callLogId: string,
): Promise<void> {
  await trx
    .insertInto('user_prop_db.call_pair')
    .columns(['user_id', 'caller_digits'])
    .expression(
      trx.selectFrom(log).select(['user_id', 'caller_digits']).where('id', '=', callLogId),
    )
    .onDuplicateKeyUpdate({ user_id: sql`call_pair.user_id` })
    .execute();
}

/**
 * The call and what is known about it, read in one statement after the pair is locked. Only the nearest neighbours
 * count: if they are far enough, all others are.
 */
async function loadCallWithNeighbours(
  trx: Transaction<CallTables>,
  log: typeof callLogTable,
  callLogId: string,
  apartSeconds: number,
) {
  const seconds = sql.lit(apartSeconds);
  return await trx
    .selectFrom(`${log} as this`)
    .select(['user_id', 'status', 'duration', 'started_at', 'filter_rule'])
    .select([
      sql<string | null>`(select max(other.started_at) from ${sql.table(log)} other
        where other.user_id = this.user_id and other.caller_digits = this.caller_digits
          and other.started_at between this.started_at - interval ${seconds} second
            and this.started_at
          and other.filter_rule is not null and other.status = ${connected}
          and other.id <> this.id)`.as('connected_before_at'),
      sql<string | null>`(select min(other.started_at) from ${sql.table(log)} other
        where other.user_id = this.user_id and other.caller_digits = this.caller_digits
          and other.started_at between this.started_at
            and this.started_at + interval ${seconds} second
          and other.filter_rule = ${filterRules.valid}
          and other.id <> this.id)`.as('valid_after_at'),
      sql<number | string>`exists (select 1 from user_prop_db.broker_phone
        where digits = this.caller_digits)`.as('is_broker'),
    ])
    .where('id', '=', callLogId)
    .executeTakeFirstOrThrow();
}

/** The calls that were written down so long ago and never decided. */
export async function undecidedCalls(
  { mysql }: Pick<FilterDeps, 'mysql'>,
  document: CallSettings,
  rowsMax: number,
): Promise<string[]> {
  const open = await mysql
    .selectFrom(logFor(document))
    .select('id')
    .where('filter_rule', 'is', null)
    .where('created_at', '<', minutesAgo(document.stuckAfterMinutes))
    .orderBy('id')
    .limit(rowsMax)
    .execute();
  return open.map(({ id }) => id);
}

export const minutesAgo = (minutes: number) =>
  sql<string>`now(3) - interval ${sql.lit(minutes)} minute`;
