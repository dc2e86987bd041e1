/** Use case of call/filter-call: logs each finished call and decides whether its owner pays for it. */
import { type Kysely, type Selectable, sql, type Transaction } from 'kysely';
import { Rejected } from '../../platform/errors.ts';
import { type Deliver, toQueue, transactionWithOutbox } from '../../platform/messaging/outbox.ts';
import type { OutcomeWord } from '../../platform/outcomes.ts';
import type { CallOutcome } from '../call-outcome.ts';
import { digitsOf, maskNumber } from '../phone-numbers.ts';
import { callsToCharge, type FinishedCall } from '../queues.ts';
import { type FirstCallSwitchOff, postponeIfSwitchedOff } from '../row-lease.ts';
import type { CallSettings } from '../settings.ts';
import type { CallLog, CallTables } from '../tables.ts';
import {
  type CallHistory,
  connected,
  evaluateRules,
  type FilterRule,
  filterRules,
} from './filter-rules.ts';

export interface FilterDeps {
  readonly mysql: Kysely<CallTables>;
  readonly settings: () => Promise<CallSettings>;
  readonly deliver: Deliver;
}

const callLogTable = 'user_prop_db.sublessor_call_log_201409';
/** The log of shadow mode, while the old system writes the real one. It has the same columns, hence the cast. */
const shadowLogTable = 'user_prop_db.call_shadow_log' as typeof callLogTable;
const logFor = ({ shadow }: Pick<CallSettings, 'shadow'>) =>
  shadow ? shadowLogTable : callLogTable;
const duplicateEntry = 1062;

/** The outcome of a decision, by the rule that applies. */
const outcomeByRule: Readonly<Record<FilterRule, OutcomeWord>> = {
  [filterRules.valid]: 'valid',
  [filterRules.notConnected]: 'not-connected',
  [filterRules.tooShort]: 'too-short',
  [filterRules.calledBefore]: 'called-before',
  [filterRules.broker]: 'broker',
};

/** The kill switch that postpones all calls: none is logged or decided. */
export const filterSwitch = 'call/filter-call';

interface GuardDeps extends FilterDeps {
  readonly firstSwitchOff: FirstCallSwitchOff;
  /** Throws `Postponed` until the numbers of all brokers are known (broker-phone-runs.ts). */
  readonly requireBrokersKnown: () => Promise<void>;
}

/** Filters a call. Postpones it while the kill switch is off or the numbers of brokers are incomplete. */
export async function filterCall(deps: GuardDeps, call: FinishedCall): Promise<CallOutcome> {
  await postponeIfSwitchedOff(deps.firstSwitchOff, filterSwitch);
  await deps.requireBrokersKnown();
  return await filterAndQueue(deps, call);
}

/**
 * Logs a finished call, decides whether its owner pays for it, and queues a valid one to be charged. In shadow mode it
 * uses a log of its own and queues nothing.
 */
export async function filterAndQueue(deps: FilterDeps, call: FinishedCall): Promise<CallOutcome> {
  const settings = await deps.settings();
  const { '400_postcallinfo_dyz': connection } = settings;
  if (!connection.routing_keys.includes(call.routing_key))
    throw new Rejected(
      `routing_key: unknown ${call.routing_key}; configured: ${connection.routing_keys.join(', ')}`,
    );
  const callLogId = await insertCall(deps.mysql, logFor(settings), call);
  return await decideCall(deps, callLogId, settings);
}

/** Inserts the call and returns its row's id. Idempotent; rejects another call with the same call_id. */
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
      throw new Rejected(`Call ${call_id} is known with other values: ${differing.join('; ')}`);
    return known.id;
  }
}

/** The fields by which an imported call is compared: the old system writes the others in its own format. */
const importedFields = ['user_id', 'started_at'] as const;
const comparedFields = [
  ...importedFields,
  ...(['caller', 'callee', 'status', 'duration', 'call_type'] as const),
];

/** Describes each field that differs from the logged call. Telephone numbers are compared by their digits. */
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
 * Decides a logged call once; a decision never changes. Locks the pair of owner and caller, so each decision sees all
 * earlier ones of the pair. Queues a valid call in the same transaction. `given` are the settings with which the row
 * was found: they name the log, and the mode may change at any time.
 */
export async function decideCall(
  deps: FilterDeps,
  callLogId: string,
  given?: CallSettings,
): Promise<CallOutcome> {
  const settings = given ?? (await deps.settings());
  const apartSeconds = settings.filter_last_call_time_rule_threshold;
  const log = logFor(settings);
  return await transactionWithOutbox(deps, async (trx, follow) => {
    await lockPair(trx, log, callLogId);
    const call = await loadCallWithNeighbours(trx, log, callLogId, apartSeconds);
    if (call.filter_rule !== null) return { outcome: 'already-decided', callLogId };
    const { status, duration: durationSeconds, started_at: startedAt } = call;
    const history: CallHistory = {
      connectedBeforeAt: call.connected_before_at,
      validAfterAt: call.valid_after_at,
      isBroker: Number(call.is_broker) === 1,
    };
    const limits = { durationSeconds: settings.filter_call_time_rule_threshold, apartSeconds };
    const decision = evaluateRules({ status, durationSeconds, startedAt }, history, limits);
    const { filterRule } = decision;
    await trx
      .updateTable(log)
      .set({
        filter_rule: filterRule,
        decided_at: sql<string>`now(3)`,
        decision: JSON.stringify(decision),
      })
      .where('id', '=', callLogId)
      .execute();
    if (settings.shadow) return { outcome: 'shadowed', callLogId, filterRule };
    if (filterRule === filterRules.valid)
      follow(toQueue(callsToCharge, { callLogId, userId: call.user_id }));
    return { outcome: outcomeByRule[filterRule], callLogId, filterRule };
  });
}

/** Locks the row that all calls of this caller to this owner share; the first call inserts it. */
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
 * Reads the call with its nearest neighbours in one statement, after the pair is locked. If the nearest neighbours are
 * far enough apart, all others are.
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

/** Returns the ids of calls that have been undecided for longer than `stuckAfterMinutes`. */
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

/** The database's time this many minutes ago. */
export const minutesAgo = (minutes: number) =>
  sql<string>`now(3) - interval ${sql.lit(minutes)} minute`;
