/** Use case of call/settle-by-hand: a person ends a charge or a reversal that nothing else can end. */
import { type Kysely, sql, type Transaction } from 'kysely';
import {
  type Deliver,
  type OutboxEntry,
  toQueue,
  transactionWithOutbox,
} from '../../platform/messaging/outbox.ts';
import { audit } from '../../platform/operations/audit.ts';
import { lockAccount, postPayment } from '../accounting/owner-accounts.ts';
import type { AccountingTables } from '../accounting-tables.ts';
import type { CallOutcome } from '../call-outcome.ts';
import type { ChargeState } from '../charge-states.ts';
import { offlineReason } from '../charging/charge-results.ts';
import { paymentLogTable } from '../charging/payment-log.ts';
import type { SettleByHand } from '../inputs.ts';
import type { OddEntry, Payments, StatementTrade } from '../partners/payment-centre.ts';
import { callsToCharge, listingSwitches } from '../queues.ts';
import { type FirstCallSwitchOff, isLeased } from '../row-lease.ts';
import type { CallSettings } from '../settings.ts';
import { topUpEntry } from './reverse-charge.ts';

export interface HandSettlementDeps {
  readonly mysql: Kysely<AccountingTables>;
  readonly payments: Pick<Payments, 'tradeOf' | 'statementOf'>;
  readonly settings: () => Promise<Pick<CallSettings, 'stuckAfterMinutes'>>;
  readonly deliver: Deliver;
  readonly firstSwitchOff: FirstCallSwitchOff;
}

type Trx = Transaction<AccountingTables>;

/**
 * Ends a charge or a reversal that nothing else can end: one that the payment centre answered with 4009, or has never
 * seen. A person names the proof, and the payment centre's own records must agree with it. Row, income, messages and
 * audit entry are one transaction. The id of a released payment is never used again.
 */
export async function settleByHand(
  deps: HandSettlementDeps,
  input: SettleByHand,
): Promise<CallOutcome> {
  const { payment_id, to } = input;
  const off = await deps.firstSwitchOff('partner/payment');
  if (off) return { outcome: 'switched-off', switch: off, payment_id };
  const { stuckAfterMinutes } = await deps.settings();
  const row = await findPayment(deps.mysql, payment_id, stuckAfterMinutes);
  if (!row) return { outcome: 'no-such-payment', payment_id };
  if (isFinal(row.state)) return { outcome: 'already-settled', payment_id, state: row.state };
  if (Number(row.sending) === 1) return { outcome: 'still-being-sent', payment_id };
  const evidence = await gatherEvidence(deps.payments, row, input.day);
  if (!proves(evidence, to)) return { outcome: 'not-proven', payment_id, ...evidence };
  return await transactionWithOutbox(deps, async (trx, follow) => {
    await lockAccount(trx, row.user_id);
    if (!(await writeSettlement(trx, row, input, evidence)))
      return { outcome: 'fenced-off', payment_id };
    follow(...(await followUps(trx, row, input, evidence)));
    const { proof, by, why } = input;
    const { call_log_id, reverses_id } = row;
    const detail = { payment_id, to, proof, call_log_id, reverses_id, ...evidence };
    await audit(trx, { who: by, what: 'charge/settle-by-hand', why, detail });
    return { outcome: outcomeByEnd[to], payment_id };
  });
}

const outcomeByEnd = { charged: 'charged', refused: 'refused', free: 'released' } as const;

const isFinal = (state: ChargeState): boolean => state === 'charged' || state === 'refused';

/** Finds the payment; `sending` is 1 while its request to the payment centre may still be in flight. */
const findPayment = (mysql: Kysely<AccountingTables>, id: string, stuckAfterMinutes: number) =>
  mysql
    .selectFrom(paymentLogTable)
    .select(['id', 'call_log_id', 'reverses_id', 'user_id', 'amount_fen', 'state', 'epoch'])
    .select(
      sql<number | string>`greatest(${isLeased('in_hand_until')}, coalesce(sent_at > now(3)
        - interval ${sql.lit(stuckAfterMinutes)} minute, 0))`.as('sending'),
    )
    .where('id', '=', id)
    .executeTakeFirst();

type Row = NonNullable<Awaited<ReturnType<typeof findPayment>>>;

interface Evidence {
  /** The payment centre's answer to a query about the id. */
  readonly trade: 'done' | 'refused' | 'never seen';
  /** What the statement lists under the id; `nothing` without a day or without a line. */
  readonly statement: 'same owner and amount' | 'another trade' | 'not readable' | 'nothing';
  readonly balance_fen?: number;
}

async function gatherEvidence(
  { tradeOf, statementOf }: HandSettlementDeps['payments'],
  { id, user_id, amount_fen }: Row,
  day: string | undefined,
): Promise<Evidence> {
  const trade = await tradeOf(id);
  const balance_fen = trade.is === 'never seen' ? undefined : trade.balanceFen;
  const trades = day === undefined ? [] : await statementOf(day);
  const line = trades.find(({ tradeId }) => tradeId === id);
  return {
    trade: trade.is,
    statement: line ? statementEvidence(line, user_id, amount_fen) : 'nothing',
    ...(balance_fen !== undefined && { balance_fen }),
  };
}

function statementEvidence(
  line: StatementTrade | OddEntry,
  userId: string,
  amountFen: string | number,
): Evidence['statement'] {
  if ('odd' in line) return 'not readable';
  const same = line.userId === userId && BigInt(line.amountFen) === BigInt(amountFen);
  return same ? 'same owner and amount' : 'another trade';
}

/** Returns whether the evidence allows the end. A done trade is the row's own unless the statement shows another one. */
function proves({ trade, statement }: Evidence, to: SettleByHand['to']): boolean {
  if (to === 'charged') return trade === 'done' && statement === 'same owner and amount';
  return trade === 'done' ? statement === 'another trade' : statement === 'nothing';
}

/** Ends the row. Returns false if another worker has changed it since it was read. */
async function writeSettlement(
  trx: Trx,
  { id, state, epoch, call_log_id, reverses_id }: Row,
  { to, proof }: SettleByHand,
  { balance_fen }: Evidence,
): Promise<boolean> {
  const released = {
    call_log_id: null,
    reverses_id: null,
    freed_call_log_id: call_log_id,
    freed_reverses_id: reverses_id,
  };
  const { numUpdatedRows } = await trx
    .updateTable(paymentLogTable)
    .set({
      state: to === 'charged' ? 'charged' : 'refused',
      epoch: epoch + 1,
      reason: `by hand: ${proof}`,
      in_hand_until: null,
      ask_at: null,
    })
    .set(to === 'charged' ? { balance_fen: balance_fen ?? null } : {})
    .set(to === 'free' ? released : {})
    .set(to === 'refused' && reverses_id !== null ? { is_final: 1 } : {})
    .where('id', '=', id)
    .where('state', '=', state)
    .where('epoch', '=', epoch)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** Posts a reversal, and returns the messages: to charge a released call again, and to switch the owner's listings. */
async function followUps(
  trx: Trx,
  { id, user_id, amount_fen, call_log_id, reverses_id }: Row,
  { to }: SettleByHand,
  { trade, balance_fen }: Evidence,
): Promise<OutboxEntry[]> {
  if (to === 'charged' && reverses_id !== null) {
    await postPayment(trx, { id, user_id, amount_fen, reverses_id });
    return balance_fen !== undefined && balance_fen > 0
      ? [await topUpEntry(trx, user_id, balance_fen)]
      : [];
  }
  if (call_log_id === null) return [];
  if (to === 'free') return [toQueue(callsToCharge, { callLogId: call_log_id, userId: user_id })];
  const is = to === 'charged' ? 'done' : 'refused';
  // A refusal that only the person states says nothing about the owner's money.
  if (trade !== is) return [];
  const why = offlineReason({ is, balanceFen: balance_fen });
  return why ? [toQueue(listingSwitches, { userId: user_id, paymentId: id, why })] : [];
}
