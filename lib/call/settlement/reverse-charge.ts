/** Use case of call/reverse-charge: takes a wrong charge back; also resumes reversals without a result. */
import { type Kysely, sql, type Transaction } from 'kysely';
import { PartnerUnavailable, textOf } from '../../platform/errors.ts';
import { reportFailure } from '../../platform/lambda/log.ts';
import type { Tick } from '../../platform/lambda/schedule.ts';
import {
  type Deliver,
  type OutboxEntry,
  toQueue,
  transactionWithOutbox,
} from '../../platform/messaging/outbox.ts';
import { inTransaction } from '../../platform/mysql/mysql.ts';
import { audit } from '../../platform/operations/audit.ts';
import type { OutcomeWord } from '../../platform/outcomes.ts';
import { lockAccount, postPayment } from '../accounting/owner-accounts.ts';
import type { AccountingTables } from '../accounting-tables.ts';
import type { CallOutcome } from '../call-outcome.ts';
import { refusalReason } from '../charging/charge-results.ts';
import { paymentLogTable } from '../charging/payment-log.ts';
import type { ReverseCharge } from '../inputs.ts';
import type { Payments, TradeAnswer } from '../partners/payment-centre.ts';
import { listingSwitches } from '../queues.ts';
import { type FirstCallSwitchOff, isLeased, leaseExpiry } from '../row-lease.ts';

export interface ReversalDeps {
  readonly mysql: Kysely<AccountingTables>;
  readonly payments: Pick<Payments, 'refund' | 'tradeOf'>;
  readonly firstSwitchOff: FirstCallSwitchOff;
  /** Without it platform/deliver-due sends the follow-up messages seconds later, which is fast enough for a person. */
  readonly deliver?: Deliver;
}

type Trx = Transaction<AccountingTables>;

/** A reversal under our lease. */
interface LeasedReversal {
  /** Also its trade_id at the payment centre; it never changes. */
  readonly id: string;
  readonly user_id: string;
  readonly chargeId: string;
  readonly amountFen: number;
  /** Column `epoch`. */
  readonly fencingToken: number;
  readonly by: string;
  readonly why: string;
}

/**
 * Reverses a wrong charge by new entries: a payment log row, which fixes id and amount before the payment centre is
 * asked; a refund there; and, in one transaction with the refund's answer, income and contract balances. Idempotent: a
 * repetition resumes the same row. A reversal that the payment centre refused can be made again as a new row with a new
 * id, because the old id always gets the old answer. A reversal that a person has ended as refused is final.
 */
export async function reverseCharge(
  deps: ReversalDeps,
  input: ReverseCharge,
): Promise<CallOutcome> {
  const { mysql, payments, firstSwitchOff, deliver = async () => [] } = deps;
  const { payment_id } = input;
  const off = await firstSwitchOff('partner/payment');
  if (off) return { outcome: 'switched-off', switch: off, payment_id };
  const leased = await inTransaction(mysql, (trx) => leaseReversal(trx, input));
  if ('outcome' in leased) return { ...leased, payment_id };
  const { id: tradeId, chargeId: originalTradeId, amountFen } = leased;
  const facts = { payment_id, reversal_id: tradeId };
  const answer = await requestRefund(payments, { tradeId, originalTradeId, amountFen });
  const outcome = await transactionWithOutbox({ mysql, deliver }, (trx, follow) =>
    recordAnswer(trx, leased, answer, follow),
  );
  if (outcome === 'conflict')
    reportFailure('conflict', facts, `Reversal ${tradeId}: the payment centre says conflict`);
  return { outcome, ...facts };
}

/** The answer to a refund, or to the query about its trade, which has no code. */
interface RefundAnswer {
  readonly is: TradeAnswer['is'];
  readonly code?: number;
  readonly balanceFen?: number | undefined;
}

/**
 * Requests the refund. Returns `undefined` if its result is unknown. If the answer or its balance cannot be read,
 * queries the trade once, because repeating the refund would get the same answer.
 */
async function requestRefund(
  { refund, tradeOf }: ReversalDeps['payments'],
  request: Parameters<Payments['refund']>[0],
): Promise<RefundAnswer | undefined> {
  const reversalId = request.tradeId;
  const answer: RefundAnswer | PartnerUnavailable =
    await refund(request).catch(asPartnerUnavailable);
  if (answer instanceof PartnerUnavailable && !answer.answered) return undefined;
  const isRead = !(answer instanceof PartnerUnavailable);
  if (isRead && (answer.is !== 'done' || answer.balanceFen !== undefined)) return answer;
  const why = isRead
    ? `The refund of reversal ${reversalId} was answered without a balance.`
    : answer;
  reportFailure('odd-answer', { reversalId }, why);
  const trade = await tradeOf(reversalId).catch(asPartnerUnavailable);
  const known =
    trade instanceof PartnerUnavailable || trade.is === 'never seen' ? undefined : trade;
  return isRead ? { is: 'done', balanceFen: known?.balanceFen } : known;
}

/** Turns a rejection into a value; throws every other error. */
function asPartnerUnavailable(error: unknown): PartnerUnavailable {
  if (error instanceof PartnerUnavailable) return error;
  throw error;
}

const rowsMax = 100;
/** With less time left, nothing is started: two calls to the payment centre and the writes after them must fit in. */
export const remainingMsMin = 50_000;

/**
 * Resumes reversals whose worker crashed or got no response, the longest-waiting first. One failure does not block the
 * others. A reversal that the payment centre knows with other values (`unknown` without `ask_at`) waits for a person.
 */
export async function resumeReversals(
  deps: ReversalDeps,
  { remaining }: Pick<Tick, 'remaining'>,
): Promise<number> {
  const open = await deps.mysql
    .selectFrom(paymentLogTable)
    .select(['reverses_id', 'reason'])
    .where('reverses_id', 'is not', null)
    .where(({ eb, or }) =>
      or([eb('state', 'in', ['intent', 'sent']), eb('ask_at', 'is not', null)]),
    )
    .where('state', 'in', openStates)
    .where(({ eb, or }) =>
      or([eb('in_hand_until', 'is', null), eb('in_hand_until', '<', sql<string>`now(3)`)]),
    )
    .orderBy(({ fn }) => fn.coalesce('ask_at', 'in_hand_until', 'created_at'))
    .orderBy('id')
    .limit(rowsMax)
    .execute();
  const failures: unknown[] = [];
  let resumed = 0;
  for (const { reverses_id: payment_id, reason: why } of open) {
    if (payment_id === null || remaining() < remainingMsMin) break;
    try {
      await reverseCharge(deps, { payment_id, by: 'call/settle-unknown-charges', why: why ?? '' });
      resumed += 1;
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length)
    throw new Error(`${failures.length} reversals failed. The first: ${textOf(failures[0])}`, {
      cause: failures[0],
    });
  return resumed;
}

const openStates = ['intent', 'sent', 'unknown'] as const;

type NotLeased = { readonly outcome: OutcomeWord; readonly reversal_id?: string };

/** Leases the charge's reversal, and inserts it if there is none. Returns why not, if it cannot be leased. */
async function leaseReversal(
  trx: Trx,
  { payment_id, by, why }: ReverseCharge,
): Promise<LeasedReversal | NotLeased> {
  const charge = await trx
    .selectFrom(paymentLogTable)
    .selectAll()
    .where('id', '=', payment_id)
    .forUpdate()
    .executeTakeFirst();
  if (!charge) return { outcome: 'no-such-payment' };
  if (charge.reverses_id !== null) return { outcome: 'is-a-reversal' };
  if (charge.state !== 'charged') return { outcome: 'not-charged' };
  const known = await trx
    .selectFrom(paymentLogTable)
    .select(['id', 'state', 'epoch', 'is_final', isLeased('in_hand_until').as('leased')])
    .where('reverses_id', '=', payment_id)
    .forUpdate()
    .executeTakeFirst();
  const { user_id, call_type } = charge;
  const rest = { user_id, chargeId: payment_id, amountFen: Number(charge.amount_fen), by, why };
  if (!known) return { ...rest, ...(await insertReversal(trx, rest, call_type)) };
  const { id, state, leased } = known;
  if (state === 'charged') return { outcome: 'already-reversed', reversal_id: id };
  if (state === 'refused' && known.is_final === 1)
    return { outcome: 'already-refused', reversal_id: id };
  if (state === 'refused') {
    await detachRefusedReversal(trx, id);
    return { ...rest, ...(await insertReversal(trx, rest, call_type)) };
  }
  if (Number(leased) === 1) return { outcome: 'leased', reversal_id: id };
  const fencingToken = known.epoch + 1;
  await trx
    .updateTable(paymentLogTable)
    .set({ state: 'sent', epoch: fencingToken, in_hand_until: leaseExpiry, ask_at: null })
    .where('id', '=', id)
    .execute();
  return { ...rest, id, fencingToken };
}

/** A final refusal: the charge took no money, so there is nothing to refund, now or later. */
const neverSeen = {
  reason: 'the payment centre has never seen the charge',
  is_final: 1,
} as const;

/** Moves `reverses_id`, which is unique, to `refund_refused_of`, so that the charge can get another reversal. */
const detachRefusedReversal = (trx: Trx, id: string) =>
  trx
    .updateTable(paymentLogTable)
    .set(({ ref }) => ({ refund_refused_of: ref('reverses_id'), reverses_id: null }))
    .where('id', '=', id)
    .execute();

async function insertReversal(
  trx: Trx,
  { user_id, chargeId, amountFen, by, why }: Omit<LeasedReversal, 'id' | 'fencingToken'>,
  call_type: number,
) {
  const { insertId } = await trx
    .insertInto(paymentLogTable)
    .values({
      reverses_id: chargeId,
      user_id,
      amount_fen: -amountFen,
      call_type,
      state: 'sent',
      reason: why,
      epoch: 1,
      in_hand_until: leaseExpiry,
    })
    .executeTakeFirstOrThrow();
  const id = String(insertId);
  const detail = { payment_id: chargeId, reversal_id: id, amount_fen: amountFen };
  await audit(trx, { who: by, what: 'charge/reverse', why, detail });
  return { id, fencingToken: 1 };
}

/** Returns the outcome, and the change of the row: it ends, waits for a person, or stays open to be resumed. */
function changeFor(answer: RefundAnswer | undefined) {
  if (answer?.is === 'done')
    return {
      outcome: 'reversed',
      state: 'charged',
      balance_fen: answer.balanceFen ?? null,
    } as const;
  if (answer?.is === 'refused')
    return { outcome: 'refused', state: 'refused', reason: refusalReason(answer) } as const;
  if (answer?.is === 'never seen')
    return { outcome: 'refused', state: 'refused', ...neverSeen } as const;
  if (answer?.is === 'conflict')
    return {
      outcome: 'conflict',
      state: 'unknown',
      ask_at: null,
      reason: 'the payment centre says conflict',
    } as const;
  return {
    outcome: 'reversal-open',
    state: answer ? 'intent' : 'unknown',
    ask_at: sql<string>`now(3)`,
  } as const;
}

/**
 * Stores the answer and posts the reversal, unless another worker has leased the row since. If the refund leaves the
 * owner money, queues that listings which are offline for lack of money come back.
 */
async function recordAnswer(
  trx: Trx,
  { id, user_id, fencingToken, by, why, chargeId, amountFen }: LeasedReversal,
  answer: RefundAnswer | undefined,
  follow: (...followUps: OutboxEntry[]) => void,
): Promise<OutcomeWord> {
  const { outcome, ...change } = changeFor(answer);
  await lockAccount(trx, user_id);
  const { numUpdatedRows } = await trx
    .updateTable(paymentLogTable)
    .set({ ...change, in_hand_until: null })
    .where('id', '=', id)
    .where('epoch', '=', fencingToken)
    .where('state', '=', 'sent')
    .executeTakeFirst();
  if (!numUpdatedRows) return 'fenced-off';
  if (change.state === 'charged') {
    await postPayment(trx, { id, user_id, amount_fen: -amountFen, reverses_id: chargeId });
    if (change.balance_fen !== null && change.balance_fen > 0)
      follow(await topUpEntry(trx, user_id, change.balance_fen));
  }
  const detail = { payment_id: chargeId, reversal_id: id };
  await audit(trx, { who: by, what: `charge/${auditVerb[change.state]}`, why, detail });
  return outcome;
}

/** The message that money was refunded: call/switch-listings treats it as a top-up at the current time. */
export async function topUpEntry(trx: Trx, user_id: string, balance: number): Promise<OutboxEntry> {
  const { rows } = await sql<{ now: string }>`select now() now`.execute(trx);
  return toQueue(listingSwitches, { user_id, topped_up_at: rows[0]?.now ?? '', balance });
}

const auditVerb = {
  charged: 'reversed',
  refused: 'reversal-refused',
  unknown: 'reversal-open',
  intent: 'reversal-open',
} as const;
