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
import { lockAccount, postPayment } from '../accounting/owner-accounts.ts';
import type { AccountingTables } from '../accounting-tables.ts';
import { refusalReason } from '../charging/charge-results.ts';
import type { ReverseCharge } from '../inputs.ts';
import type { Payments, TradeAnswer } from '../partners/payment-centre.ts';
import { listingSwitches } from '../queues.ts';
import { type FirstCallSwitchOff, isLeased, leaseExpiry } from '../row-lease.ts';

export interface ReversalDeps {
  readonly mysql: Kysely<AccountingTables>;
  readonly payments: Pick<Payments, 'refund' | 'tradeOf'>;
  readonly firstSwitchOff: FirstCallSwitchOff;
  /** Without it platform/deliver-due sends what follows, seconds later: a person's reversal needs no queue of its own. */
  readonly deliver?: Deliver;
}

type Trx = Transaction<AccountingTables>;

const table = 'user_prop_db.sublessor_call_payment_log_201409';

/** A reversal in hand: its own id, which is its trade at the payment centre for ever. */
interface LeasedReversal {
  readonly id: string;
  readonly user_id: string;
  readonly chargeId: string;
  readonly amountFen: number;
  readonly fencingToken: number;
  readonly by: string;
  readonly why: string;
}

/**
 * Takes a wrong charge back, by new entries: the payment log's row, which fixes id and amount before the payment centre
 * is asked, its refund there, and, with the refund's answer in one transaction, income and contract balances. A
 * repetition resumes the same row; a reversal that was made is not made again. One that the payment centre
 * refused can be made again, as a new row with a new id: the payment centre answers the old id as it did. One that a
 * person has ended as refused cannot.
 */
export async function reverseCharge(deps: ReversalDeps, asked: ReverseCharge) {
  const [{ mysql, payments, firstSwitchOff }, { payment_id }] = [deps, asked];
  const { deliver = async () => [] } = deps;
  const off = await firstSwitchOff('partner/payment');
  if (off) return { outcome: `${off} is off`, payment_id };
  const begun = await inTransaction(mysql, (trx) => leaseReversal(trx, asked));
  if ('outcome' in begun) return { ...begun, payment_id };
  const { id: tradeId, chargeId: originalTradeId, amountFen } = begun;
  const facts = { payment_id, reversal_id: tradeId };
  const answer = await requestRefund(payments, { tradeId, originalTradeId, amountFen });
  const outcome = await transactionWithOutbox({ mysql, deliver }, (trx, follow) =>
    recordAnswer(trx, begun, answer, follow),
  );
  if (outcome === 'conflict')
    reportFailure('conflict', facts, `Reversal ${tradeId}: the payment centre says conflict`);
  return { outcome, ...facts };
}

/** What a refund, or the question about it, was answered; a trade that is asked about says no code. */
interface RefundAnswer {
  readonly is: TradeAnswer['is'];
  readonly code?: number;
  readonly balanceFen?: number | undefined;
}

/**
 * Makes a refund; undefined where nothing is known of it. Where the answer or its balance cannot be read, the payment
 * centre is asked once what has become of the trade, because the same refund would get the same answer each time.
 */
async function requestRefund(
  { refund, tradeOf }: ReversalDeps['payments'],
  asked: Parameters<Payments['refund']>[0],
): Promise<RefundAnswer | undefined> {
  const reversalId = asked.tradeId;
  const answer: RefundAnswer | PartnerUnavailable = await refund(asked).catch(asPartnerUnavailable);
  if (answer instanceof PartnerUnavailable && !answer.answered) return undefined;
  const isRead = !(answer instanceof PartnerUnavailable);
  if (isRead && (answer.is !== 'done' || answer.balanceFen !== undefined)) return answer;
  const why = isRead ? 'A refund was answered without a balance.' : answer;
  reportFailure('odd answer', { reversalId }, why);
  const trade = await tradeOf(reversalId).catch(asPartnerUnavailable);
  const known =
    trade instanceof PartnerUnavailable || trade.is === 'never seen' ? undefined : trade;
  return isRead ? { is: 'done', balanceFen: known?.balanceFen } : known;
}

function asPartnerUnavailable(error: unknown): PartnerUnavailable {
  if (error instanceof PartnerUnavailable) return error;
  throw error;
}

const rowsMax = 100;
/** Two exchanges with the payment centre, and what is written after them, must end before the time-out. */
export const remainingMsMin = 50_000;

/**
 * Goes on with reversals that nobody has in hand: whoever began them got no answer, or died. One that fails keeps no
 * other from it: the row that was sent longest ago is first. One that the payment centre knows with other values
 * (`unknown` without `ask_at`) waits for a person.
 */
export async function resumeReversals(
  deps: ReversalDeps,
  { remaining }: Pick<Tick, 'remaining'>,
): Promise<number> {
  const open = await deps.mysql
    .selectFrom(table)
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
    throw new Error(`${failures.length} reversals: ${textOf(failures[0])}`, { cause: failures[0] });
  return resumed;
}

const openStates = ['intent', 'sent', 'unknown'] as const;

type NotLeased = { readonly outcome: string; readonly reversal_id?: string };

async function leaseReversal(trx: Trx, { payment_id, by, why }: ReverseCharge): Promise<LeasedReversal | NotLeased> {
  const charge = await trx
    .selectFrom(table)
    .selectAll()
    .where('id', '=', payment_id)
    .forUpdate()
    .executeTakeFirst();
  if (!charge) return { outcome: 'no such payment' };
  if (charge.reverses_id !== null) return { outcome: 'a reversal itself' };
  if (charge.state !== 'charged') return { outcome: 'not charged' };
  const known = await trx
    .selectFrom(table)
    .select(['id', 'state', 'epoch', 'reason', isLeased('in_hand_until').as('held')])
    .where('reverses_id', '=', payment_id)
    .forUpdate()
    .executeTakeFirst();
  const [user_id, amountFen] = [charge.user_id, Number(charge.amount_fen)];
  const rest = { user_id, chargeId: payment_id, amountFen, by, why };
  if (!known) return { ...rest, ...(await insertReversal(trx, rest, charge.call_type)) };
  const { id, state, held } = known;
  if (state === 'charged') return { outcome: 'reversed before', reversal_id: id };
  if (state === 'refused' && isFinalRefusal(known.reason))
    return { outcome: 'refused before', reversal_id: id };
  if (state === 'refused') {
    await detachRefusedReversal(trx, id);
    return { ...rest, ...(await insertReversal(trx, rest, charge.call_type)) };
  }
  if (Number(held) === 1) return { outcome: 'in hand', reversal_id: id };
  const epoch = known.epoch + 1;
  await trx
    .updateTable(table)
    .set({ state: 'sent', epoch, in_hand_until: leaseExpiry, ask_at: null })
    .where('id', '=', id)
    .execute();
  return { ...rest, id, fencingToken: epoch };
}

/** There is nothing to give back, now or later. */
const neverSeenReason = 'the payment centre has never seen the charge';

/** Begins the reason of a payment that a person has ended; no answer of the payment centre is written like this. */
export const byHandPrefix = 'by hand: ';

/** Whether no later attempt may follow a refusal. A person sets a charge free whose reversal may be made again. */
const isFinalRefusal = (reason: string | null): boolean =>
  reason === neverSeenReason || reason?.startsWith(byHandPrefix) === true;

/** A charge has one reversal: the refused one makes room for the next, and says itself what it was for. */
const detachRefusedReversal = (trx: Trx, id: string) =>
  trx
    .updateTable(table)
    .set(({ ref }) => ({ refund_refused_of: ref('reverses_id'), reverses_id: null }))
    .where('id', '=', id)
    .execute();

async function insertReversal(
  trx: Trx,
  { user_id, chargeId, amountFen, by, why }: Omit<LeasedReversal, 'id' | 'epoch'>,
  call_type: number,
) {
  const { insertId } = await trx
    .insertInto(table)
    .values({
      ...{ reverses_id: chargeId, user_id, amount_fen: -amountFen, call_type },
      ...{ state: 'sent', reason: why, epoch: 1, in_hand_until: leaseExpiry },
    })
    .executeTakeFirstOrThrow();
  const id = String(insertId);
  const detail = { payment_id: chargeId, reversal_id: id, amount_fen: amountFen };
  await audit(trx, { who: by, what: 'charge/reverse', why, detail });
  return { id, epoch: 1 };
}

/** The word for the outcome, and what is written with it: the row stays open, or waits for a person, or has ended. */
function changeFor(answer: RefundAnswer | undefined) {
  const later = { ask_at: sql<string>`now(3)` };
  const person = { ask_at: null, reason: 'the payment centre says conflict' };
  if (answer?.is === 'done')
    return {
      outcome: 'reversed',
      state: 'charged',
      balance_fen: answer.balanceFen ?? null,
    } as const;
  if (answer?.is === 'refused')
    return { outcome: 'refused', state: 'refused', reason: refusalReason(answer) } as const;
  if (answer?.is === 'never seen')
    return { outcome: 'refused', state: 'refused', reason: neverSeenReason } as const;
  if (answer?.is === 'conflict')
    return { outcome: 'conflict', state: 'unknown', ...person } as const;
  return {
    outcome: 'open: start it again',
    state: answer ? 'intent' : 'unknown',
    ...later,
  } as const;
}

/**
 * Writes the answer, and posts the reversal with it, unless another has taken the row in hand since. Listings that are
 * offline for want of money are shown again with what is given back.
 */
async function recordAnswer(
  trx: Trx,
  { id, user_id, fencingToken: epoch, by, why, chargeId, amountFen }: LeasedReversal,
  answer: RefundAnswer | undefined,
  follow: (...followUps: OutboxEntry[]) => void,
): Promise<string> {
  const { outcome, ...change } = changeFor(answer);
  await lockAccount(trx, user_id);
  const { numUpdatedRows } = await trx
    .updateTable(table)
    .set({ ...change, in_hand_until: null })
    .where('id', '=', id)
    .where('epoch', '=', epoch)
    .where('state', '=', 'sent')
    .executeTakeFirst();
  if (!numUpdatedRows) return 'overtaken';
  if (change.state === 'charged') {
    await postPayment(trx, { id, user_id, amount_fen: -amountFen, reverses_id: chargeId });
    if (change.balance_fen !== null && change.balance_fen > 0)
      follow(await topUpEntry(trx, user_id, change.balance_fen));
  }
  const detail = { payment_id: chargeId, reversal_id: id };
  await audit(trx, { who: by, what: `charge/${auditVerb[change.state]}`, why, detail });
  return outcome;
}

/** Money that is given back counts like money that is paid in, from now on. */
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
