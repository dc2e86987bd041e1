import type { Kysely } from 'kysely';
import { type Deliver, toQueue, transactionWithOutbox } from '../../platform/messaging/outbox.ts';
import { listingSwitches, type OutOfMoney } from '../queues.ts';
import type { CallTables } from '../tables.ts';
import { type Charge, recordFinalResult } from './payment-log.ts';

interface ResultDeps {
  readonly mysql: Kysely<CallTables>;
  readonly deliver: Deliver;
}

/** A final answer: to a trade, with the code that says why it was refused; without it the reason is not known. */
interface TradeResult {
  readonly is: 'done' | 'refused';
  readonly code?: number;
  readonly balanceFen?: number | undefined;
}

/** Why listings go offline, by the code with which a charge was refused. */
const offlineReasons: Readonly<Record<number, OutOfMoney['why']>> = {
  4001: 'not enough money',
  4002: 'account frozen',
  4003: 'unknown account',
};

/**
 * Writes down a final answer. Where the owner cannot or could not pay for another call, the message that takes his
 * listings offline goes in the same transaction; any other answer is one statement.
 */
export async function recordTradeResult(
  { mysql, deliver }: ResultDeps,
  charge: Charge,
  answer: TradeResult,
) {
  const { id, userId } = charge;
  const state = answer.is === 'done' ? 'charged' : 'refused';
  const { balanceFen } = answer;
  const why = offlineReason(answer);
  const reason = answer.is === 'refused' ? refusalReason(answer) : null;
  const written = why
    ? await transactionWithOutbox({ mysql, deliver }, async (trx, follow) => {
        const first = await recordFinalResult(trx, charge, state, { balanceFen, reason });
        if (first) follow(toQueue(listingSwitches, { userId, paymentId: id, why }));
        return first;
      })
    : await recordFinalResult(mysql, charge, state, { balanceFen, reason });
  return {
    outcome: written ? state : 'settled before',
    paymentId: id,
    ...(why && { offline: why }),
  };
}

/** Why an owner's listings go offline after a final answer; undefined where they stay as they are. */
export function offlineReason(answer: TradeResult): OutOfMoney['why'] | undefined {
  if (answer.is === 'refused') return refusalReason(answer);
  // Below 0, too: the payment centre may let an owner owe it something.
  return answer.balanceFen !== undefined && answer.balanceFen <= 0 ? 'balance is 0' : undefined;
}

/** The word for a refusal; no top-up ends one whose reason is not known. */
export const refusalReason = ({ code }: Pick<TradeResult, 'code'>): OutOfMoney['why'] =>
  offlineReasons[code ?? 0] ?? 'reason unknown';
