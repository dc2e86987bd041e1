import * as z from 'zod';
import { callsToCharge, finishedCalls, listingSwitches } from '../../../lib/call/queues.ts';
import { dateOf } from '../../../lib/platform/time.ts';
import type { paymentCentre } from '../../../local/simulators/payment.ts';
import type { Stage } from '../run-scenario.ts';

const State = z.object({
  trades: z.array(
    z.object({
      trade_id: z.string(),
      user_id: z.string(),
      amount: z.int(),
      state: z.enum(['done', 'refused']),
      balance: z.int(),
      answer: z.object({ code: z.int() }),
    }),
  ),
});
type Trade = z.infer<typeof State>['trades'][number];

interface Call {
  readonly id: string;
  readonly call_id: string;
  readonly user_id: string;
  readonly caller_digits: string;
  readonly status: number;
  readonly started_at: string;
  readonly duration: number;
  readonly filter_rule: number | null;
}

interface Payment {
  readonly id: string;
  readonly call_log_id: string;
  readonly user_id: string;
  readonly amount_fen: string;
  readonly state: string;
  readonly balance_fen: string | null;
  readonly announced: number;
}

const apartSeconds = 86_400;
const tooShortSeconds = 8;

/** Compares our tables with the payment centre's ledger: invariants at all times, and equality at the end. */
export function booksOf(
  { databases: { admin }, queues }: Stage,
  centre: ReturnType<typeof paymentCentre>,
  priceFen: number,
) {
  const decided = new Map<string, number>();
  /** The check at which a decision was first seen: a call depends only on earlier decisions. */
  const seenAt = new Map<string, number>();
  let looks = 0;
  const fixed = new Map<string, string>();
  const finals = new Map<string, string>();

  const rowsOf = async <Row>(table: string) => {
    const [rows] = await admin.query(`select * from user_prop_db.${table} order by id`);
    return rows as Row[];
  };
  const read = async () => ({
    calls: await rowsOf<Call>('sublessor_call_log_201409'),
    payments: await rowsOf<Payment>('sublessor_call_payment_log_201409'),
    trades: new Map(State.parse(centre.state()).trades.map((trade) => [trade.trade_id, trade])),
  });

  /** Checks that decisions, refunds and final results never change. */
  const changed = (calls: readonly Call[], payments: readonly Payment[]): string | undefined => {
    for (const { call_id, filter_rule } of calls) {
      const before = decided.get(call_id);
      if (before !== undefined && before !== filter_rule)
        return `${call_id} had rule ${before} and has ${filter_rule}.`;
      if (filter_rule === null) continue;
      decided.set(call_id, filter_rule);
      if (before === undefined) seenAt.set(call_id, looks);
    }
    for (const { id, call_log_id, amount_fen, state } of payments) {
      const given = `${call_log_id} for ${amount_fen}`;
      if ((fixed.get(id) ?? given) !== given) return `Payment ${id} became ${given}.`;
      fixed.set(id, given);
      const final = finals.get(id);
      if (final && final !== state) return `Payment ${id} was ${final} and is ${state}.`;
      if (state === 'charged' || state === 'refused') finals.set(id, state);
    }
    const ids = new Set(payments.map(({ id }) => id));
    const gone = [...fixed.keys()].find((id) => !ids.has(id));
    return gone && `Payment ${gone} is gone.`;
  };

  const wrong = async (): Promise<string | undefined> => {
    const { calls, payments, trades } = await read();
    looks += 1;
    return (
      changed(calls, payments) ??
      wronglyFiltered(calls, seenAt) ??
      wronglyCharged(calls, payments, priceFen) ??
      wronglyBooked(payments, trades) ??
      wronglyOffline(queues.open(listingSwitches).sent, payments, trades) ??
      deadLetter()
    );
  };
  const deadLetter = () => {
    for (const queue of [finishedCalls, callsToCharge, listingSwitches])
      for (const { body, reason } of queues.dead(queue).sent)
        return `Dead-lettered: ${body} because ${reason}`;
    return undefined;
  };

  const open = async (): Promise<string | undefined> => {
    const { calls, payments, trades } = await read();
    const ids = new Set(
      queues.open(finishedCalls).sent.map(({ body }) => JSON.parse(body).call_id),
    );
    const byCallId = new Map(calls.map((call) => [call.call_id, call]));
    const paidFor = new Set(payments.map(({ call_log_id }) => call_log_id));
    for (const id of ids) {
      const call = byCallId.get(id);
      if (call?.filter_rule == null) return `${id} is ${call ? 'undecided' : 'not written'}.`;
      if (call.filter_rule === 1 && !paidFor.has(call.id)) return `${id} was not charged.`;
    }
    for (const payment of payments) {
      const problem = unfinished(payment, trades, queues);
      if (problem) return problem;
    }
    const [left] = await admin.query('select * from signalbox.outbox');
    return (left as unknown[]).length ? `The outbox holds ${JSON.stringify(left)}` : undefined;
  };

  return { wrong, open };
}

function unfinished(
  { id, state, announced }: Payment,
  trades: ReadonlyMap<string, Trade>,
  queues: Stage['queues'],
): string | undefined {
  const trade = trades.get(id);
  if (!trade || (trade.state === 'done') !== (state === 'charged') || state === 'intent')
    return `Payment ${id} is ${state}, there ${trade?.state}.`;
  if (state !== 'charged' && state !== 'refused') return `Payment ${id} is ${state}.`;
  const heard = queues.events.some(({ body }) => body.includes(`"paymentId":"${id}"`));
  if (state === 'charged' && !(announced && heard)) return `Payment ${id} was not announced.`;
  const told = queues.open(listingSwitches).sent.some(({ body }) => body.includes(`"${id}"`));
  const must = state === 'refused' || trade.balance <= 0;
  return must && !told ? `After payment ${id} nothing went offline.` : undefined;
}

const gapSeconds = (one: Call, other: Call) =>
  (dateOf(other.started_at).getTime() - dateOf(one.started_at).getTime()) / 1000;
const pairOf = ({ user_id, caller_digits }: Call) => `${user_id} ${caller_digits}`;

/** Checks the two rules of the filter for all calls. */
function wronglyFiltered(
  calls: readonly Call[],
  seenAt: ReadonlyMap<string, number>,
): string | undefined {
  const decided = calls.filter(({ filter_rule }) => filter_rule !== null);
  const byPair = Map.groupBy(decided, pairOf);
  for (const call of decided) {
    const { call_id, filter_rule, status, duration } = call;
    const others = (byPair.get(pairOf(call)) ?? []).filter(({ id }) => id !== call.id);
    const near = others.find(
      (other) => other.filter_rule === 1 && Math.abs(gapSeconds(call, other)) < apartSeconds,
    );
    if (filter_rule === 1 && near) return `${call_id} and ${near.call_id} are both valid.`;
    const isGood = status === 1 && duration > tooShortSeconds && filter_rule !== 5;
    const own = seenAt.get(call_id) ?? 0;
    const isBefore = (other: Call) => {
      const gap = gapSeconds(other, call);
      return other.status === 1 && gap >= 0 && gap < apartSeconds;
    };
    const known = others.filter((other) => (seenAt.get(other.call_id) ?? 0) < own).find(isBefore);
    if (filter_rule === 1 && known) return `${call_id} is valid after ${known.call_id}.`;
    const earlier = others.filter((other) => (seenAt.get(other.call_id) ?? 0) <= own);
    const hasNeighbour = earlier.some((other) => {
      const gap = gapSeconds(other, call);
      return isBefore(other) || (other.filter_rule === 1 && gap <= 0 && gap > -apartSeconds);
    });
    if (isGood && filter_rule !== 1 && !hasNeighbour)
      return `${call_id} has rule ${filter_rule} and no neighbour.`;
    if (!isGood && filter_rule === 1) return `${call_id} is valid.`;
  }
  return undefined;
}

function wronglyCharged(
  calls: readonly Call[],
  payments: readonly Payment[],
  priceFen: number,
): string | undefined {
  const byId = new Map(calls.map((call) => [call.id, call]));
  for (const { id, call_log_id, user_id, amount_fen } of payments) {
    const call = byId.get(call_log_id);
    if (call?.filter_rule !== 1 || call.user_id !== user_id)
      return `Payment ${id} is for call ${call?.call_id} with rule ${call?.filter_rule}.`;
    if (Number(amount_fen) !== priceFen) return `Payment ${id} is over ${amount_fen}.`;
  }
  return undefined;
}

function wronglyBooked(
  payments: readonly Payment[],
  trades: ReadonlyMap<string, Trade>,
): string | undefined {
  const byId = new Map(payments.map((payment) => [payment.id, payment]));
  for (const { trade_id, user_id, amount, state } of trades.values()) {
    const payment = byId.get(trade_id);
    if (payment?.user_id !== user_id || Number(payment.amount_fen) !== amount)
      return `Trade ${trade_id} over ${amount} has no such payment.`;
    if (state === 'done' && payment.state === 'refused')
      return `Trade ${trade_id} was done, the payment is refused.`;
    if (state === 'refused' && payment.state === 'charged')
      return `Trade ${trade_id} was refused, the payment is charged.`;
  }
  const made = payments.find(
    ({ id, state }) => (state === 'charged' || state === 'refused') && !trades.has(id),
  );
  return made && `Payment ${made.id} is ${made.state}, the payment centre has never seen it.`;
}

/** Checks that listings go offline only for certain reasons. */
function wronglyOffline(
  sent: readonly { readonly body: string }[],
  payments: readonly Payment[],
  trades: ReadonlyMap<string, Trade>,
): string | undefined {
  const byId = new Map(payments.map((payment) => [payment.id, payment]));
  for (const { body } of sent) {
    const { paymentId, userId, why } = JSON.parse(body);
    const payment = byId.get(paymentId);
    const trade = trades.get(paymentId);
    const certain = trade && (trade.state === 'refused' || trade.balance <= 0);
    if (!certain || payment?.user_id !== userId) return `Offline without a reason: ${body}`;
    if (whys[trade.answer.code] !== why)
      return `Offline because ${why}, and the payment centre said ${trade.answer.code}: ${body}`;
  }
  return undefined;
}

const whys: Readonly<Record<number, string>> = {
  0: 'balance is 0',
  4001: 'not enough money',
  4002: 'account frozen',
  4003: 'unknown account',
};
