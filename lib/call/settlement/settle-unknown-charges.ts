/** Use case of call/settle-unknown-charges: finds open calls, charges and reversals, and brings them to their end. */
import { type Kysely, sql } from 'kysely';
import { PartnerUnavailable, Postponed, Rejected, textOf } from '../../platform/errors.ts';
import { reportFailure } from '../../platform/lambda/log.ts';
import type { Tick } from '../../platform/lambda/schedule.ts';
import { toBus, toQueue, transactionWithOutbox } from '../../platform/messaging/outbox.ts';
import type { OutcomeWord } from '../../platform/outcomes.ts';
import type { CallOutcome } from '../call-outcome.ts';
import { type ChargeDeps, chargingSwitches, sendToPaymentCentre } from '../charging/charge-call.ts';
import { recordTradeResult } from '../charging/charge-results.ts';
import {
  type Charge,
  chargeCallMessage,
  leaseForSending,
  noChargeStop,
  paymentLogTable,
  selectCharges,
  toCharges,
} from '../charging/payment-log.ts';
import { charged } from '../events.ts';
import { decideCall, filterSwitch, minutesAgo, undecidedCalls } from '../filtering/filter-call.ts';
import { compareShadow } from '../filtering/shadow-comparison.ts';
import { callsToCharge } from '../queues.ts';
import type { CallSettings } from '../settings.ts';
import type { CallTables } from '../tables.ts';
import { type ReversalDeps, resumeReversals } from './reverse-charge.ts';

const rowsMax = 500;
const queryConcurrency = 4;
/** After this many queries without an answer a run makes no more: the payment centre is unavailable. */
const noAnswersMax = 3;
/** With less time left, nothing is started: a query, the charge that may follow and their writes must fit in. */
export const remainingMsMin = 50_000;

const queryIntervalSeconds = { hour: 3_600, day: 86_400 } as const;
/** A charge is queried hourly this many times, then daily. */
const hourlyQueriesMax = 24;

/**
 * Settles whatever was left open: decides undecided calls, queries charges whose sender crashed or whose answer was
 * lost, resumes reversals and requeues intents without a message. Publishes an event for each charge that succeeded.
 * The outcome is `charging-stopped` while a charge stop is set. In shadow mode only calls are decided and compared.
 */
export async function settleUnknownCharges(
  deps: ChargeDeps & ReversalDeps,
  { remaining }: Pick<Tick, 'remaining'>,
): Promise<CallOutcome> {
  const { mysql, firstSwitchOff } = deps;
  const settings = await deps.settings();
  const { stuckAfterMinutes, shadow } = settings;
  const failures: unknown[] = [];
  const step = async <Result>(work: () => Promise<Result>, otherwise: Result): Promise<Result> => {
    try {
      return await work();
    } catch (error) {
      failures.push(error);
      return otherwise;
    }
  };
  const decided = await step(() => decideUndecidedCalls(deps, settings, remaining), 0);
  if (shadow) {
    const compared = await compareShadow(mysql, stuckAfterMinutes);
    throwFirst(failures);
    return { ...compared, decided };
  }
  await step(() => markStuckAsUnknown(mysql, stuckAfterMinutes), undefined);
  const partnerOff = (await firstSwitchOff('partner/payment')) !== undefined;
  const settled = partnerOff ? {} : await step(() => queryDueTrades(deps, remaining), {});
  const resume = () => resumeReversals(deps, { remaining });
  const reversals = partnerOff ? 0 : await step(resume, 0);
  const trigger = () => requeueIntents(deps, stuckAfterMinutes);
  const requeued = (await firstSwitchOff(...chargingSwitches)) ? 0 : await step(trigger, 0);
  const published = await step(() => publishChargedEvents(deps, remaining), 0);
  throwFirst(failures);
  const stops = await mysql.selectFrom('user_prop_db.charge_stop').select('scope').execute();
  return {
    outcome: stops.length ? 'charging-stopped' : 'settled',
    decided,
    settled,
    reversals,
    requeued,
    announced: published,
    stops: stops.length,
  };
}

/** Throws the first failure, after all steps or rows have been tried: one failure does not block the others. */
function throwFirst(failures: readonly unknown[]): void {
  const [first] = failures;
  if (first === undefined) return;
  throw new Error(`${failures.length} failed: ${textOf(first)}`, { cause: first });
}

/** Decides calls whose consumer crashed before the decision. Returns how many. */
async function decideUndecidedCalls(
  deps: ChargeDeps,
  settings: CallSettings,
  remaining: () => number,
): Promise<number> {
  let decided = 0;
  const failures: unknown[] = [];
  for (const id of await undecidedCalls(deps, settings, rowsMax)) {
    if (remaining() < remainingMsMin || (await deps.firstSwitchOff(filterSwitch))) break;
    try {
      await decideCall(deps, id, settings);
      decided += 1;
    } catch (error) {
      failures.push(error);
    }
  }
  throwFirst(failures);
  return decided;
}

/** Marks charges whose sender crashed as `unknown`: the payment centre is queried about them from now on. */
async function markStuckAsUnknown(
  mysql: Kysely<CallTables>,
  stuckAfterMinutes: number,
): Promise<void> {
  await mysql
    .updateTable(paymentLogTable)
    .set({
      state: 'unknown',
      epoch: sql<number>`epoch + 1`,
      in_hand_until: null,
      ask_at: sql<string>`now(3)`,
    })
    .where('state', '=', 'sent')
    .where('call_log_id', 'is not', null)
    .where('updated_at', '<', minutesAgo(stuckAfterMinutes))
    .limit(rowsMax)
    .execute();
}

/**
 * Queries the trades that are due, several at a time, and counts the results. Checks the kill switch before each query,
 * because a run may take minutes and a switch must work within one.
 */
async function queryDueTrades(deps: ChargeDeps, remaining: () => number) {
  const { mysql, firstSwitchOff } = deps;
  const rows = await selectCharges(mysql)
    .where('state', '=', 'unknown')
    .where('ask_at', '<=', sql<string>`now(3)`)
    .orderBy('ask_at')
    .limit(rowsMax)
    .execute();
  const due = toCharges(rows).values();
  const counts: Partial<Record<OutcomeWord, number>> = {};
  const failures: unknown[] = [];
  let noAnswers = 0;
  const lane = async () => {
    for (const charge of due) {
      if (remaining() < remainingMsMin || noAnswers >= noAnswersMax) return;
      if (await firstSwitchOff('partner/payment')) return;
      try {
        const word = await settleCharge(deps, charge).catch((error: unknown) =>
          reportNoAnswer(error, charge),
        );
        if (word === 'unavailable') noAnswers += 1;
        counts[word] = (counts[word] ?? 0) + 1;
      } catch (error) {
        failures.push(error);
      }
    }
  };
  const lanes = await Promise.allSettled(Array.from({ length: queryConcurrency }, lane));
  // A lane that cannot read the switches ends; its error is thrown after all other lanes have ended.
  for (const ended of lanes) if (ended.status === 'rejected') failures.push(ended.reason);
  throwFirst(failures);
  return counts;
}

/** Reports an answer that cannot be read; it concerns one charge, so the run continues. Throws every other error. */
function reportNoAnswer(error: unknown, { id }: Charge): 'unavailable' | 'odd-answer' {
  if (!(error instanceof PartnerUnavailable)) throw error;
  if (!error.answered) return 'unavailable';
  reportFailure('odd-answer', { paymentId: id }, error);
  return 'odd-answer';
}

/** Queries a charge's trade. Sends the charge again, with the same id and amount, if the payment centre never saw it. */
async function settleCharge(deps: ChargeDeps, charge: Charge): Promise<OutcomeWord> {
  if (!(await scheduleNextQuery(deps.mysql, charge))) return 'lease-not-acquired';
  try {
    const trade = await deps.payments.tradeOf(charge.id);
    if (trade.is === 'refused') return await recordRefusal(deps, charge, trade.balanceFen);
    if (trade.is !== 'never seen') return (await recordTradeResult(deps, charge, trade)).outcome;
    if (await deps.firstSwitchOff(...chargingSwitches)) return 'waiting';
    const leased = await leaseForSending(deps.mysql, charge);
    return leased ? (await sendToPaymentCentre(deps, leased)).outcome : 'waiting';
  } catch (error) {
    if (error instanceof Postponed) return 'waiting'; // As an `intent`, which a later step requeues.
    if (error instanceof Rejected) return reportConflict(error);
    throw error;
  }
}

/**
 * Records a refusal. A status query gives no reason, so the trade is sent once more with the same id: the payment centre
 * repeats its first answer, and cannot charge twice. If no charge may be sent, the reason stays unknown.
 */
async function recordRefusal(
  deps: ChargeDeps,
  charge: Charge,
  balanceFen: number | undefined,
): Promise<OutcomeWord> {
  const { id: tradeId, userId, amountFen } = charge;
  const trade = { is: 'refused', balanceFen } as const;
  if (await deps.firstSwitchOff(...chargingSwitches))
    return (await recordTradeResult(deps, charge, trade)).outcome;
  const repeated = await deps.payments
    .deduct({ tradeId, userId, amountFen })
    .catch((error: unknown) => reportNoAnswer(error, charge));
  if (repeated === 'unavailable') return repeated;
  if (repeated === 'odd-answer') return (await recordTradeResult(deps, charge, trade)).outcome;
  if (repeated.is === 'later') return 'unavailable';
  if (repeated.is === 'conflict') return await waitForPerson(deps.mysql, charge);
  const result = repeated.is === 'never seen' ? trade : repeated;
  return (await recordTradeResult(deps, charge, result)).outcome;
}

/** Ends the queries about a charge: the payment centre uses its id for another trade, so a person has to look. */
async function waitForPerson(
  mysql: Kysely<CallTables>,
  { id, fencingToken }: Charge,
): Promise<'conflict'> {
  const reason = 'the payment centre says conflict';
  await mysql
    .updateTable(paymentLogTable)
    .set({ ask_at: null, reason })
    .where('id', '=', id)
    .where('state', '=', 'unknown')
    .where('epoch', '=', fencingToken)
    .execute();
  return reportConflict(new Error(`payment ${id}: ${reason}`));
}

/** Reports a conflict, which a person has to resolve: docs/runbooks/charge-conflict.md. */
function reportConflict(error: Error): 'conflict' {
  reportFailure('conflict', {}, error);
  return 'conflict';
}

/** Sets the time of the next query before this one is made. Returns false if another run makes this query. */
async function scheduleNextQuery(
  mysql: Kysely<CallTables>,
  { id, fencingToken, queryCount }: Charge,
): Promise<boolean> {
  const { hour, day } = queryIntervalSeconds;
  const seconds = queryCount < hourlyQueriesMax ? hour : day;
  const { numUpdatedRows } = await mysql
    .updateTable(paymentLogTable)
    .set({
      asked: queryCount + 1,
      ask_at: sql<string>`now(3) + interval ${sql.lit(seconds)} second`,
    })
    .where('id', '=', id)
    .where('state', '=', 'unknown')
    .where('epoch', '=', fencingToken)
    .where('asked', '=', queryCount)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** Requeues old intents that neither a charge stop nor a postponed message holds. Returns how many. */
async function requeueIntents(deps: ChargeDeps, stuckAfterMinutes: number): Promise<number> {
  const stuckSince = minutesAgo(stuckAfterMinutes);
  return await transactionWithOutbox(deps, async (trx, follow) => {
    const rows = await selectCharges(trx)
      .where('state', '=', 'intent')
      .where('updated_at', '<', stuckSince)
      .where((row) => row.or([row('ask_at', 'is', null), row('ask_at', '<', stuckSince)]))
      .where(noChargeStop('user_id'))
      .limit(rowsMax)
      .forUpdate()
      .skipLocked()
      .execute();
    const waiting = toCharges(rows);
    if (!waiting.length) return 0;
    follow(...waiting.map((charge) => toQueue(callsToCharge, chargeCallMessage(charge))));
    const ids = waiting.map(({ id }) => id);
    // Without this the next run would requeue them again.
    const requeued = { ask_at: sql<string>`now(3)` };
    await trx.updateTable(paymentLogTable).set(requeued).where('id', 'in', ids).execute();
    return waiting.length;
  });
}

/** Publishes `call/charged` for new charges, page by page; each page marks its rows in the same transaction. */
async function publishChargedEvents(deps: ChargeDeps, remaining: () => number): Promise<number> {
  let published = 0;
  while (remaining() > remainingMsMin) {
    const page = await transactionWithOutbox(deps, async (trx, follow) => {
      const rows = await selectCharges(trx)
        .where('announced', '=', 0)
        .where('state', '=', 'charged')
        .limit(rowsMax)
        .forUpdate()
        .skipLocked()
        .execute();
      const paid = toCharges(rows);
      if (!paid.length) return 0;
      const ids = paid.map(({ id }) => id);
      await trx.updateTable(paymentLogTable).set({ announced: 1 }).where('id', 'in', ids).execute();
      follow(
        ...paid.map(({ id: paymentId, callLogId, userId, amountFen }) =>
          toBus(charged, { paymentId, callLogId, userId, amountFen }),
        ),
      );
      return paid.length;
    });
    published += page;
    if (page < rowsMax) break;
  }
  return published;
}
