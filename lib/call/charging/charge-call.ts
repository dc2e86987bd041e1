/** Use case of call/charge-call: charges one valid call to its owner, exactly once. */
import type { Kysely } from 'kysely';
import { PartnerUnavailable, Postponed, Rejected } from '../../platform/errors.ts';
import type { Deliver } from '../../platform/messaging/outbox.ts';
import { postponed } from '../../platform/partners/partner.ts';
import type { CallOutcome } from '../call-outcome.ts';
import type { Payments, TradeAnswer } from '../partners/payment-centre.ts';
import type { ValidCall } from '../queues.ts';
import type { FirstCallSwitchOff } from '../row-lease.ts';
import type { CallSettings } from '../settings.ts';
import type { CallSwitch } from '../switches.ts';
import type { CallTables } from '../tables.ts';
import { type ChargeOutcome, recordTradeResult } from './charge-results.ts';
import {
  type Charge,
  type ChargeLimits,
  findCharge,
  insertCharge,
  leaseForSending,
  releaseWithoutResult,
} from './payment-log.ts';
import { type HoldResult, insertHeldCharge } from './rate-limits.ts';

export interface ChargeDeps {
  readonly mysql: Kysely<CallTables>;
  readonly settings: () => Promise<CallSettings>;
  readonly payments: Payments;
  readonly deliver: Deliver;
  readonly firstSwitchOff: FirstCallSwitchOff;
  readonly now: () => Date;
}

/** The kill switches that stop charges: all charging, and all calls to the payment centre. */
export const chargingSwitches = ['charging', 'partner/payment'] as const satisfies CallSwitch[];

const fenPerYuan = 100;

/**
 * Charges a valid call to its owner. Idempotent: the payment log's row is inserted before the payment centre is asked,
 * is unique per call and its id is the trade's id. A repeated delivery finds the row and resumes the charge, which in
 * most cases has its result already.
 */
export async function chargeCall(deps: ChargeDeps, call: ValidCall): Promise<CallOutcome> {
  const { mysql, settings, firstSwitchOff, now } = deps;
  const heldBy = await firstSwitchOff(...chargingSwitches);
  if (heldBy) throw new Postponed(now(), `${heldBy} is switched off`, { heldBy });
  const document = await settings();
  if (document.shadow)
    throw new Postponed(inHalfAnHour(now()), 'in shadow mode nothing is charged');
  const amountFen = Math.round(document.payment_price_per_call * fenPerYuan);
  const limits = {
    perMinuteMax: document.chargesPerMinuteMax,
    perMinutePerOwnerMax: document.chargesPerMinutePerOwnerMax,
  };
  const inserted = await insertOrHold(mysql, call, amountFen, limits);
  if (typeof inserted === 'object') return await sendToPaymentCentre(deps, inserted);
  return inserted === 'already-inserted'
    ? await resumeCharge(deps, call)
    : { outcome: inserted, ...call };
}

/**
 * Calls decided before shadow mode was switched on are charged once it is off, by whichever system is then live.
 */
const inHalfAnHour = (now: Date): Date => new Date(now.getTime() + 1_800_000);

const insertAttemptsMax = 3;

/**
 * Inserts the charge, as `sent` or as `intent`. Returns the charge to send, or why there is none. Tries several times,
 * because a charge stop may be lifted between the two statements.
 */
async function insertOrHold(
  mysql: Kysely<CallTables>,
  call: ValidCall,
  amountFen: number,
  limits: ChargeLimits,
): Promise<Charge | Exclude<HoldResult, 'not-blocked'>> {
  for (let attempt = 1; attempt <= insertAttemptsMax; attempt++) {
    const inserted = await insertCharge(mysql, call, amountFen, limits);
    if (inserted === 'already-inserted') return inserted;
    if (inserted !== 'blocked') return newCharge(inserted.id, call, amountFen);
    const held = await insertHeldCharge(mysql, call, amountFen, limits);
    if (held !== 'not-blocked') return held;
  }
  throw new Error(
    `The charge of call ${call.callLogId} was blocked and released ${insertAttemptsMax} times in a row.`,
  );
}

const newCharge = (id: string, { callLogId, userId }: ValidCall, amountFen: number): Charge => ({
  id,
  callLogId,
  userId,
  amountFen,
  state: 'sent',
  fencingToken: 1,
  queryCount: 0,
});

/** Resumes a charge that has a row: sends an `intent` that no charge stop blocks; reports every other state. */
async function resumeCharge(deps: ChargeDeps, call: ValidCall): Promise<ChargeOutcome> {
  const charge = await findCharge(deps.mysql, call);
  if (!charge)
    throw new Error(`The payment log has no row for the charge of call ${call.callLogId}.`);
  const { id: paymentId, state } = charge;
  if (state === 'charged') return { outcome: 'already-charged', paymentId };
  if (state === 'refused') return { outcome: 'already-refused', paymentId };
  // `sent` and `unknown` have no result yet: call/settle-unknown-charges queries the trade and sends again if needed.
  if (state !== 'intent') return { outcome: 'still-open', paymentId, state };
  const leased = await leaseForSending(deps.mysql, charge);
  return leased ? await sendToPaymentCentre(deps, leased) : { outcome: 'waiting', paymentId };
}

/** Sends a leased charge to the payment centre, and stores the answer. */
export async function sendToPaymentCentre(
  deps: ChargeDeps,
  charge: Charge,
): Promise<ChargeOutcome> {
  const { mysql, payments } = deps;
  const { id, userId, amountFen } = charge;
  let answer: TradeAnswer;
  try {
    answer = await payments.deduct({ tradeId: id, userId, amountFen });
  } catch (error) {
    if (!(error instanceof PartnerUnavailable)) throw error;
    if (error.effect === 'none') return await releaseAndPostpone(deps, charge, error);
    await releaseWithoutResult(mysql, charge, 'unknown', { afterSeconds: firstQuerySeconds });
    return { outcome: 'unknown', paymentId: charge.id, why: error.message };
  }
  if (answer.is === 'later')
    return await releaseAndPostpone(
      deps,
      charge,
      new PartnerUnavailable('the payment centre', 'none', '5000'),
    );
  if (answer.is === 'conflict' || answer.is === 'never seen')
    return await releaseForPerson(deps, charge, answer);
  return await recordTradeResult(deps, charge, answer);
}

/** Delay before the first query about a charge whose answer was lost. */
const firstQuerySeconds = 300;

/** Sets the row back to `intent` and postpones the message: the payment centre has charged nothing. */
async function releaseAndPostpone(
  { mysql, now }: ChargeDeps,
  charge: Charge,
  unavailable: PartnerUnavailable,
): Promise<never> {
  // The fencing token grows with each attempt, and the delay with it.
  const later = postponed(unavailable, charge.fencingToken, now());
  const seconds = Math.round((later.until.getTime() - now().getTime()) / 1000);
  await releaseWithoutResult(mysql, charge, 'intent', { afterSeconds: seconds });
  throw later;
}

/**
 * Dead-letters a charge whose id belongs to another trade at the payment centre, which is an error of ours. The row
 * stays `unknown` without `ask_at`: a query would be answered about the other trade, so a person has to look.
 */
async function releaseForPerson(
  { mysql }: ChargeDeps,
  charge: Charge,
  { is }: Pick<TradeAnswer, 'is'>,
): Promise<never> {
  const reason = `the payment centre says ${is}`;
  await releaseWithoutResult(mysql, charge, 'unknown', { reason });
  throw new Rejected(`payment ${charge.id}: ${reason}`);
}
