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
import type { ChargeState } from '../charge-states.ts';
import { offlineReason } from '../charging/charge-results.ts';
import { paymentLogTable as paymentLog } from '../charging/payment-log.ts';
import type { SettleByHand } from '../inputs.ts';
import type { OddEntry, Payments, StatementTrade } from '../partners/payment-centre.ts';
import { callsToCharge, listingSwitches } from '../queues.ts';
import { type FirstCallSwitchOff, isLeased } from '../row-lease.ts';
import type { CallSettings } from '../settings.ts';
import { byHandPrefix, topUpEntry } from './reverse-charge.ts';

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
 * seen. A person names the proof; what the payment centre says of the id has to agree with it. Row, income, message and
 * audit line are one transaction, and an id that was set free is never given again.
 */
export async function settleByHand(deps: HandSettlementDeps, asked: SettleByHand) {
  const { payment_id, to } = asked;
  const off = await deps.firstSwitchOff('partner/payment');
  if (off) return { outcome: `${off} is off`, payment_id };
  const { stuckAfterMinutes } = await deps.settings();
  const row = await findPayment(deps.mysql, payment_id, stuckAfterMinutes);
  if (!row) return { outcome: 'no such payment', payment_id };
  if (isFinal(row.state)) return { outcome: 'settled before', payment_id, state: row.state };
  if (Number(row.sending) === 1) return { outcome: 'still being sent', payment_id };
  const found = await gatherEvidence(deps.payments, row, asked.day);
  if (!proves(found, to)) return { outcome: 'not proved', payment_id, ...found };
  return await transactionWithOutbox(deps, async (trx, follow) => {
    await lockAccount(trx, row.user_id);
    const written = await writeSettlement(trx, row, asked, found);
    if (!written) return { outcome: 'overtaken', payment_id };
    follow(...(await followUps(trx, row, asked, found)));
    const { proof, by, why } = asked;
    const { call_log_id, reverses_id } = row;
    const detail = { ...{ payment_id, to, proof, call_log_id, reverses_id }, ...found };
    await audit(trx, { who: by, what: 'charge/settle-by-hand', why, detail });
    return { outcome: outcomeByEnd[to], payment_id };
  });
}

const outcomeByEnd = { charged: 'charged', refused: 'refused', free: 'set free' } as const;

const isFinal = (state: ChargeState): boolean => state === 'charged' || state === 'refused';

/** The payment; `sending` is 1 while its request to the payment centre may still be on its way. */
const findPayment = (mysql: Kysely<AccountingTables>, id: string, stuckAfterMinutes: number) =>
  mysql
    .selectFrom(paymentLog)
    .select(['id', 'call_log_id', 'reverses_id', 'user_id', 'amount_fen', 'state', 'epoch'])
    .select(
      sql<number | string>`greatest(${isLeased('in_hand_until')}, coalesce(sent_at > now(3)
        - interval ${sql.lit(stuckAfterMinutes)} minute, 0))`.as('sending'),
    )
    .where('id', '=', id)
    .executeTakeFirst();

type Row = NonNullable<Awaited<ReturnType<typeof findPayment>>>;

interface Evidence {
  /** What the payment centre answers about the id. */
  readonly trade: 'done' | 'refused' | 'never seen';
  /** Whether the statement lists the id with this owner and amount; without a day, or a line, it says nothing. */
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

/** An id under which a trade was done may be this row's own trade unless the statement shows another one. */
function proves({ trade, statement }: Evidence, to: SettleByHand['to']): boolean {
  if (to === 'charged') return trade === 'done' && statement === 'same owner and amount';
  return trade === 'done' ? statement === 'another trade' : statement === 'nothing';
}

/** False where another has changed the row since it was read. */
async function writeSettlement(
  trx: Trx,
  { id, state, epoch, call_log_id, reverses_id }: Row,
  { to, proof }: SettleByHand,
  { balance_fen }: Evidence,
): Promise<boolean> {
  const freed = {
    ...{ call_log_id: null, reverses_id: null },
    ...{ freed_call_log_id: call_log_id, freed_reverses_id: reverses_id },
  };
  const { numUpdatedRows } = await trx
    .updateTable(paymentLog)
    .set({
      state: to === 'charged' ? 'charged' : 'refused',
      epoch: epoch + 1,
      reason: `${byHandPrefix}${proof}`,
      in_hand_until: null,
      ask_at: null,
    })
    .set(to === 'charged' ? { balance_fen: balance_fen ?? null } : {})
    .set(to === 'free' ? freed : {})
    .where('id', '=', id)
    .where('state', '=', state)
    .where('epoch', '=', epoch)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** Posts a reversal, charges a free call again, and tells call/switch-listings what the trade means for the owner. */
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
  // The payment centre has refused this owner nothing.
  if (trade !== is) return [];
  const why = offlineReason({ is, balanceFen: balance_fen });
  return why ? [toQueue(listingSwitches, { userId: user_id, paymentId: id, why })] : [];
}
