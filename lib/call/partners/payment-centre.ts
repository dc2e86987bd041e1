/** The client of the payment centre, which takes money from owners and gives it back. */
import { createHmac } from 'node:crypto';
import * as z from 'zod';
import { jsonId } from '../../platform/ids.ts';
import { issuesOf } from '../../platform/issues.ts';
import type { ReadSecret } from '../../platform/lambda/secret.ts';
import { type Exchange, pooledExchange } from '../../platform/partners/http-exchange.ts';
import { type Partner, partner } from '../../platform/partners/partner.ts';

/** Our application id and signing key at the payment centre (`account_key` of the old configuration). */
export const PaymentAccount = z.object({ app: z.string().min(1), key: z.string().min(1) });
export type PaymentAccount = z.infer<typeof PaymentAccount>;

/** The fields of config/call.json with the address and timeout of the payment centre. */
interface PaymentSettings {
  readonly payment_base_api_url: string;
  readonly payment_api_timeout: number;
}

/** A deduction. Its id is the idempotency key: every request with the same id has the same values. */
interface Deduction {
  readonly tradeId: string;
  readonly userId: string;
  readonly amountFen: number;
}

interface Refund {
  readonly tradeId: string;
  readonly originalTradeId: string;
  readonly amountFen: number;
}

/** The answer to a trade. An answer of any other form is `PartnerUnavailable`. */
export type TradeAnswer =
  | { readonly is: 'done'; readonly balanceFen: number | undefined }
  /** A final result: not enough money, or the account is frozen or unknown. */
  | { readonly is: 'refused'; readonly code: number; readonly balanceFen?: number | undefined }
  /** Only for a refund: the original trade does not exist. */
  | { readonly is: 'never seen' }
  /** The id was used with other values before, which is an error of ours. */
  | { readonly is: 'conflict' }
  | { readonly is: 'later' };

/** The state of a trade. */
type TradeState =
  | { readonly is: 'done' | 'refused'; readonly balanceFen: number | undefined }
  | { readonly is: 'never seen' };

/** An entry of a statement that does not fit the schema; its position counts from 1. */
export interface OddEntry {
  readonly tradeId: string | undefined;
  readonly position: number;
  readonly odd: string;
}

export interface StatementTrade {
  readonly tradeId: string;
  readonly userId: string;
  /** Negative for a refund. */
  readonly amountFen: number;
}

export interface Payments {
  readonly deduct: (deduction: Deduction) => Promise<TradeAnswer>;
  readonly refund: (refund: Refund) => Promise<TradeAnswer>;
  readonly tradeOf: (tradeId: string) => Promise<TradeState>;
  /** Returns all trades of a day, `YYYY-MM-DD` in Shanghai. An odd entry does not block the others. */
  readonly statementOf: (day: string) => Promise<readonly (StatementTrade | OddEntry)[]>;
}

const name = 'the payment centre';

/** The reasons, which are part of a trade's values: another text with the same id would be a conflict. */
const reasons = { deduct: 'sublessor 400 call', refund: 'sublessor 400 call reversed' } as const;

/** Room for a day's statement with about 500,000 trades. */
const statementBytesMax = 64 << 20;

/** Returns the client. A request is never repeated: after a lost answer the caller queries the state of the trade. */
export function payments(
  settings: () => Promise<PaymentSettings>,
  account: ReadSecret<PaymentAccount>,
  exchange: Exchange = pooledExchange(),
): Payments {
  const ask = partner(
    {
      name,
      baseUrl: async () => (await settings()).payment_base_api_url,
      timeoutMs: async () => (await settings()).payment_api_timeout,
      retry: { attemptsMax: 1, delayMs: 0 },
      answerBytesMax: statementBytesMax,
    },
    exchange,
  );
  const trade = async (
    kind: 'deduct' | 'refund',
    tradeId: string,
    ids: Readonly<Record<string, string | number>>,
    amount: number,
  ) => {
    const { app, key } = await account();
    const body = { app, trade_id: tradeId, ...ids, amount, reason: reasons[kind] };
    const json = { ...body, sign: signatureOf(body, key) };
    const path = `/trade/${kind}`;
    return await ask({
      method: 'POST',
      path,
      json,
      about: { trade_id: tradeId, ...ids },
      answer: answers[kind],
    });
  };
  return {
    deduct: ({ tradeId, userId, amountFen }) =>
      trade('deduct', tradeId, { user_id: jsonId(userId) }, amountFen),
    refund: ({ tradeId, originalTradeId, amountFen }) =>
      trade('refund', tradeId, { original_trade_id: originalTradeId }, amountFen),
    tradeOf: (tradeId) =>
      ask({
        method: 'GET',
        path: `/trade/${tradeId}`,
        answer: StateAnswer,
        about: { trade_id: tradeId },
      }),
    statementOf: (day) => statementOf(ask, day),
  };
}

/** Returns the HMAC-SHA256 of the body without `sign`, as compact JSON with sorted keys. */
export function signatureOf(body: Readonly<Record<string, unknown>>, key: string): string {
  const sorted = Object.entries(body).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return createHmac('sha256', key)
    .update(JSON.stringify(Object.fromEntries(sorted)))
    .digest('hex');
}

const Fen = z.int();
/** A balance that may be unreadable: the state of the trade is known without it. */
const KnownFen = Fen.optional().catch(undefined);
const TradeId = z
  .union([z.string().min(1), z.number()], 'Expected an id as text or number')
  .transform(String);

const Done = { code: z.literal(0), trade_id: TradeId };
const done = (answer: { trade_id: string; balance?: number | undefined }) => ({
  is: 'done' as const,
  tradeId: answer.trade_id,
  balanceFen: answer.balance,
});
const notDone = [
  z
    .object({ code: z.literal([4001, 4002, 4003]), balance: KnownFen })
    .transform(({ code, balance }) => ({ is: 'refused' as const, code, balanceFen: balance })),
  z.object({ code: z.literal(4004) }).transform(() => ({ is: 'never seen' as const })),
  z.object({ code: z.literal(4009) }).transform(() => ({ is: 'conflict' as const })),
  z.object({ code: z.literal(5000) }).transform(() => ({ is: 'later' as const })),
] as const;

/** The answers. A deduction with an unreadable balance is queried later; a refund does not need the balance. */
const answers = {
  deduct: z.union([z.object({ ...Done, balance: Fen }).transform(done), ...notDone]),
  refund: z.union([z.object({ ...Done, balance: KnownFen }).transform(done), ...notDone]),
};

const StateAnswer = z.union([
  z
    .object({ code: z.literal(0), state: z.literal(['done', 'refused']), balance: KnownFen })
    .transform(({ state, balance }) => ({ is: state, balanceFen: balance })),
  z.object({ code: z.literal(4004) }).transform(() => ({ is: 'never seen' as const })),
]);

const Statement = z.object({ code: z.literal(0), trades: z.array(z.unknown()) });
const Entry = z.object({ trade_id: TradeId, user_id: TradeId, amount: Fen });

async function statementOf(ask: Partner, day: string) {
  const path = '/statement';
  const call = { method: 'GET', path, query: { day }, about: { day }, answer: Statement } as const;
  const { trades } = await ask(call);
  return trades.map((entry, index) => entryOf(entry, index + 1));
}

function entryOf(entry: unknown, position: number): StatementTrade | OddEntry {
  const { data, error } = Entry.safeParse(entry);
  if (data) return { tradeId: data.trade_id, userId: data.user_id, amountFen: data.amount };
  const tradeId = Entry.pick({ trade_id: true }).safeParse(entry).data?.trade_id;
  return { tradeId, position, odd: issuesOf(error) };
}
