import type { Kysely } from 'kysely';
import { PartnerUnavailable, Postponed, Rejected } from '../../platform/errors.ts';
import type { Deliver } from '../../platform/messaging/outbox.ts';
import { postponed } from '../../platform/partners/partner.ts';
import type { Payments, TradeAnswer } from '../partners/payment-centre.ts';
import type { ValidCall } from '../queues.ts';
import type { FirstCallSwitchOff } from '../row-lease.ts';
import type { CallSettings } from '../settings.ts';
import type { CallSwitch } from '../switches.ts';
import type { CallTables } from '../tables.ts';
import { recordTradeResult } from './charge-results.ts';
import {
  type Charge,
  type ChargeLimits,
  leaseForSending,
  findCharge,
  insertCharge,
  releaseWithoutResult,
} from './payment-log.ts';
import { type HoldResult, insertHeldCharge } from './rate-limits.ts';

export interface ChargeDeps {
  readonly mysql: Kysely<CallTables>;
  readonly settings: () => Promise<CallSettings>;
  readonly payments: Payments;
  readonly deliver: Deliver;
  /** The first of these kill switches that is off. */
  readonly firstSwitchOff: FirstCallSwitchOff;
  readonly now: () => Date;
}

/** Kill switches: all charging, and everything to the payment centre. */
export const chargingSwitches = ['charging', 'partner/payment'] as const satisfies CallSwitch[];

const fenPerYuan = 100;

/**
 * Charges a valid call to its owner, once for ever: the row that is written first is the key, and gives the trade its
 * id. Whoever finds a row does what is left to do with it, which is mostly nothing.
 */
export async function chargeCall(deps: ChargeDeps, call: ValidCall) {
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
  const begun = await insertOrHold(mysql, call, amountFen, limits);
  if (typeof begun === 'object') return await sendToPaymentCentre(deps, begun);
  return begun === 'known'
    ? await resumeCharge(deps, call)
    : { outcome: heldWords[begun], ...call };
}

/** What was decided before the mode was changed is charged when it is changed back, by whoever does it then. */
const inHalfAnHour = (now: Date): Date => new Date(now.getTime() + 1_800_000);

const heldWords = {
  held: 'waits',
  'all stopped': 'charging stopped',
  'owner stopped': 'owner stopped',
} as const;

const insertAttemptsMax = 3;

/** The charge as it begins, or why it does not. A stop may be lifted between the two looks. */
async function insertOrHold(
  mysql: Kysely<CallTables>,
  call: ValidCall,
  amountFen: number,
  limits: ChargeLimits,
): Promise<Charge | Exclude<HoldResult, 'begins'>> {
  for (let attempt = 1; attempt <= insertAttemptsMax; attempt++) {
    const begun = await insertCharge(mysql, call, amountFen, limits);
    if (begun === 'known') return begun;
    if (begun !== 'held') return newCharge(begun.id, call, amountFen);
    const held = await insertHeldCharge(mysql, call, amountFen, limits);
    if (held !== 'begins') return held;
  }
  throw new Error(`Call ${call.callLogId} was held and let go ${insertAttemptsMax} times.`);
}

const newCharge = (id: string, { callLogId, userId }: ValidCall, amountFen: number): Charge => ({
  ...{ id, callLogId, userId, amountFen },
  ...{ state: 'sent', fencingToken: 1, queryCount: 0 },
});

/** What is left to do with a charge that has a row: to send it, if it waits and may go now. */
async function resumeCharge(deps: ChargeDeps, call: ValidCall) {
  const charge = await findCharge(deps.mysql, call);
  if (!charge) throw new Error(`The charge of call ${call.callLogId} has gone.`);
  const outcome = { charged: 'charged before', refused: 'refused before' } as const;
  if (charge.state === 'charged' || charge.state === 'refused')
    return { outcome: outcome[charge.state], paymentId: charge.id };
  // Of these two nobody knows yet; call/settle-unknown-charges asks, and knows when to send again.
  if (charge.state !== 'intent') return { outcome: `is ${charge.state}`, paymentId: charge.id };
  const taken = await leaseForSending(deps.mysql, charge);
  return taken
    ? await sendToPaymentCentre(deps, taken)
    : { outcome: 'waits', paymentId: charge.id };
}

/** Sends what is in hand to the payment centre, and writes down what it says. */
export async function sendToPaymentCentre(deps: ChargeDeps, charge: Charge) {
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

/** Until the payment centre is first asked what became of a charge whose answer was lost. */
const firstQuerySeconds = 300;

/** Nothing has happened there: the row waits again, and the message comes back. */
async function releaseAndPostpone(
  { mysql, now }: ChargeDeps,
  charge: Charge,
  away: PartnerUnavailable,
): Promise<never> {
  const later = postponed(away, charge.fencingToken, now());
  const seconds = Math.round((later.until.getTime() - now().getTime()) / 1000);
  await releaseWithoutResult(mysql, charge, 'intent', { afterSeconds: seconds });
  throw later;
}

/**
 * A mistake of our own: the id stands for something else there, or there is nothing to give back. What the payment
 * centre says about this id is not about this row, so it is never asked; a person has to look.
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
