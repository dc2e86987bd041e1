import { type Kysely, sql } from 'kysely';
import { PartnerUnavailable, Postponed, Rejected, textOf } from '../../platform/errors.ts';
import { reportFailure } from '../../platform/lambda/log.ts';
import type { Tick } from '../../platform/lambda/schedule.ts';
import { toBus, toQueue, transactionWithOutbox } from '../../platform/messaging/outbox.ts';
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
/** The payment centre is away: who asks on only waits. */
const noAnswersMax = 3;
/** A question, the charge that may follow from it, and what is written after them must end before the time-out. */
export const remainingMsMin = 50_000;

const queryIntervalSeconds = { hour: 3_600, day: 86_400 } as const;
/** So many times hourly, then daily. */
const hourlyQueriesMax = 24;

/**
 * Brings to an end what nobody has in hand: calls that were written down and not decided, charges whose sender died,
 * charges whose answer was lost, and intents that no message is under way for. Announces what was charged.
 * `charging stopped` as long as a stop is set.
 */
export async function settleUnknownCharges(
  deps: ChargeDeps & ReversalDeps,
  { remaining }: Pick<Tick, 'remaining'>,
) {
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
  const nudged = (await firstSwitchOff(...chargingSwitches)) ? 0 : await step(trigger, 0);
  const announced = await step(() => publishChargedEvents(deps, remaining), 0);
  throwFirst(failures);
  const stops = await mysql.selectFrom('user_prop_db.charge_stop').select('scope').execute();
  return {
    outcome: stops.length ? 'charging stopped' : 'settled',
    ...{ decided, settled, reversals, nudged, announced, stops: stops.length },
  };
}

/** Steps, and the rows of one step, do not wait for each other: what failed is thrown when all have been tried. */
function throwFirst(failures: readonly unknown[]): void {
  const [first] = failures;
  if (first === undefined) return;
  throw new Error(`${failures.length} failed: ${textOf(first)}`, { cause: first });
}

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

/** Whoever sent these has died: whether they were carried out is to be asked, from now on. */
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
 * Asks about what is due, several at once; gives how many ended how. The kill switch is asked before each: a run may
 * last for minutes, and a switch stops within one.
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
  const counts: Record<string, number> = {};
  const failures: unknown[] = [];
  let aways = 0;
  const lane = async () => {
    for (const charge of due) {
      if (remaining() < remainingMsMin || aways >= noAnswersMax) return;
      if (await firstSwitchOff('partner/payment')) return;
      try {
        const word = await settleCharge(deps, charge).catch((error: unknown) => reportNoAnswer(error, charge));
        if (word === 'no answer') aways += 1;
        counts[word] = (counts[word] ?? 0) + 1;
      } catch (error) {
        failures.push(error);
      }
    }
  };
  const lanes = await Promise.allSettled(Array.from({ length: queryConcurrency }, lane));
  // A lane that cannot read the switches asks no more, and the others end before this is thrown.
  for (const ended of lanes) if (ended.status === 'rejected') failures.push(ended.reason);
  throwFirst(failures);
  return counts;
}

/** An answer that cannot be read is about one charge, which is named: the others are asked about all the same. */
function reportNoAnswer(error: unknown, { id }: Charge): 'no answer' | 'odd answer' {
  if (!(error instanceof PartnerUnavailable)) throw error;
  if (!error.answered) return 'no answer';
  reportFailure('odd answer', { paymentId: id }, error);
  return 'odd answer';
}

/** Asks what became of a charge. One that the payment centre has never seen goes out again, the same as before. */
async function settleCharge(deps: ChargeDeps, charge: Charge): Promise<string> {
  if (!(await scheduleNextQuery(deps.mysql, charge))) return 'asked by another';
  try {
    const trade = await deps.payments.tradeOf(charge.id);
    if (trade.is === 'refused') return await recordRefusal(deps, charge, trade.balanceFen);
    if (trade.is !== 'never seen') return (await recordTradeResult(deps, charge, trade)).outcome;
    if (await deps.firstSwitchOff(...chargingSwitches)) return 'waits';
    const taken = await leaseForSending(deps.mysql, charge);
    return taken ? (await sendToPaymentCentre(deps, taken)).outcome : 'waits';
  } catch (error) {
    if (error instanceof Postponed) return 'waits'; // As an intent, which is nudged below.
    if (error instanceof Rejected) return reportConflict(error);
    throw error;
  }
}

/**
 * The state of a trade says that it was refused, and not why. Asked for once more it gets the answer that it had, so
 * that is done to learn the reason; the id stays the same, so nothing can be charged twice. Where no charge may be sent
 * the reason stays unknown.
 */
async function recordRefusal(
  deps: ChargeDeps,
  charge: Charge,
  balanceFen: number | undefined,
): Promise<string> {
  const { id: tradeId, userId, amountFen } = charge;
  const trade = { is: 'refused', balanceFen } as const;
  if (await deps.firstSwitchOff(...chargingSwitches))
    return (await recordTradeResult(deps, charge, trade)).outcome;
  const again = await deps.payments
    .deduct({ tradeId, userId, amountFen })
    .catch((error: unknown) => reportNoAnswer(error, charge));
  if (again === 'no answer') return again;
  if (again === 'odd answer') return (await recordTradeResult(deps, charge, trade)).outcome;
  if (again.is === 'later') return 'no answer';
  if (again.is === 'conflict') return await waitForPerson(deps.mysql, charge);
  return (await recordTradeResult(deps, charge, again.is === 'never seen' ? trade : again)).outcome;
}

/** What the payment centre says about this id is about another charge: it is asked no more. */
async function waitForPerson(mysql: Kysely<CallTables>, { id, fencingToken: epoch }: Charge): Promise<string> {
  const reason = 'the payment centre says conflict';
  await mysql
    .updateTable(paymentLogTable)
    .set({ ask_at: null, reason })
    .where('id', '=', id)
    .where('state', '=', 'unknown')
    .where('epoch', '=', epoch)
    .execute();
  return reportConflict(new Error(`payment ${id}: ${reason}`));
}

/** A person has to look at it; docs/runbooks/charge-conflict.md. */
function reportConflict(error: Error): string {
  reportFailure('conflict', {}, error);
  return 'conflict';
}

/** The next ask is set before this one is made: two runs do not ask about one charge. */
async function scheduleNextQuery(
  mysql: Kysely<CallTables>,
  { id, fencingToken: epoch, queryCount: asked }: Charge,
): Promise<boolean> {
  const seconds = asked < hourlyQueriesMax ? queryIntervalSeconds.hour : queryIntervalSeconds.day;
  const { numUpdatedRows } = await mysql
    .updateTable(paymentLogTable)
    .set({ asked: asked + 1, ask_at: sql<string>`now(3) + interval ${sql.lit(seconds)} second` })
    .where('id', '=', id)
    .where('state', '=', 'unknown')
    .where('epoch', '=', epoch)
    .where('asked', '=', asked)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** Messages for intents that wait for nothing: no stop, no "try later" whose time has not come. */
async function requeueIntents(deps: ChargeDeps, stuckAfterMinutes: number): Promise<number> {
  const long = minutesAgo(stuckAfterMinutes);
  return await transactionWithOutbox(deps, async (trx, follow) => {
    const rows = await selectCharges(trx)
      .where('state', '=', 'intent')
      .where('updated_at', '<', long)
      .where((row) => row.or([row('ask_at', 'is', null), row('ask_at', '<', long)]))
      .where(noChargeStop('user_id'))
      .limit(rowsMax)
      .forUpdate()
      .skipLocked()
      .execute();
    const waiting = toCharges(rows);
    if (!waiting.length) return 0;
    follow(...waiting.map((charge) => toQueue(callsToCharge, chargeCallMessage(charge))));
    const ids = waiting.map(({ id }) => id);
    // Nudged now: not again by the next run.
    const nudged = { ask_at: sql<string>`now(3)` };
    await trx.updateTable(paymentLogTable).set(nudged).where('id', 'in', ids).execute();
    return waiting.length;
  });
}

/** Tells the other domains, once a page is written; its rows say so in the same transaction. */
async function publishChargedEvents(deps: ChargeDeps, remaining: () => number): Promise<number> {
  let announced = 0;
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
    announced += page;
    if (page < rowsMax) break;
  }
  return announced;
}
