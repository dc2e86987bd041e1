/** Stores the final result of a trade, and queues that the owner's listings go offline if they ran out of money. */
import type { Kysely } from 'kysely';
import { type Deliver, toQueue, transactionWithOutbox } from '../../platform/messaging/outbox.ts';
import type { OutcomeWord } from '../../platform/outcomes.ts';
import type { ChargeState } from '../charge-states.ts';
import { listingSwitches, type OutOfMoney } from '../queues.ts';
import type { CallTables } from '../tables.ts';
import { type Charge, recordFinalResult } from './payment-log.ts';

interface ResultDeps {
  readonly mysql: Kysely<CallTables>;
  readonly deliver: Deliver;
}

/** What became of a charge, and the facts of its log line. */
export type ChargeOutcome = {
  readonly outcome: OutcomeWord;
  readonly paymentId: string;
  readonly state?: ChargeState;
  /** Why the answer was lost. */
  readonly why?: string;
  /** Why the owner's listings go offline. */
  readonly offline?: OutOfMoney['why'];
};

/** The final result of a trade: from the trade call (with a refusal code) or from a status query (without). */
interface TradeResult {
  readonly is: 'done' | 'refused';
  readonly code?: number;
  readonly balanceFen?: number | undefined;
}

/** Why listings go offline, by the payment centre's refusal code. */
const offlineReasons: Readonly<Record<number, OutOfMoney['why']>> = {
  4001: 'not enough money',
  4002: 'account frozen',
  4003: 'unknown account',
};

/**
 * Stores the final result. If the owner cannot pay for another call, the message that takes the owner's listings
 * offline is written in the same transaction; any other result is a single statement.
 */
export async function recordTradeResult(
  { mysql, deliver }: ResultDeps,
  charge: Charge,
  answer: TradeResult,
): Promise<ChargeOutcome> {
  const { id, userId } = charge;
  const state = answer.is === 'done' ? 'charged' : 'refused';
  const { balanceFen } = answer;
  const why = offlineReason(answer);
  const reason = answer.is === 'refused' ? refusalReason(answer) : null;
  const recorded = why
    ? await transactionWithOutbox({ mysql, deliver }, async (trx, follow) => {
        const first = await recordFinalResult(trx, charge, state, { balanceFen, reason });
        if (first) follow(toQueue(listingSwitches, { userId, paymentId: id, why }));
        return first;
      })
    : await recordFinalResult(mysql, charge, state, { balanceFen, reason });
  return {
    outcome: recorded ? state : 'already-settled',
    paymentId: id,
    ...(why && { offline: why }),
  };
}

/** Returns why the owner's listings go offline after this result; `undefined` if they stay as they are. */
export function offlineReason(answer: TradeResult): OutOfMoney['why'] | undefined {
  if (answer.is === 'refused') return refusalReason(answer);
  // `<=`, because the payment centre may let an owner run into debt.
  return answer.balanceFen !== undefined && answer.balanceFen <= 0 ? 'balance is 0' : undefined;
}

/** Returns the reason of a refusal. A top-up does not bring listings back after `reason unknown`. */
export const refusalReason = ({ code }: Pick<TradeResult, 'code'>): OutOfMoney['why'] =>
  offlineReasons[code ?? 0] ?? 'reason unknown';
