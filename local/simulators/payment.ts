/** Simulates the payment centre. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import * as z from 'zod';
import { wallTime } from '../../lib/platform/time.ts';
import { paymentAccount } from '../secrets.ts';
import { type Partner, type Simulator, startSimulator } from './controls.ts';

const Id = z.union([z.int(), z.string().regex(/^\d+$/)]).transform(String);
const signed = { app: z.string(), trade_id: z.string().regex(/^\d+$/), sign: z.string() };
const Deduct = z.object({ ...signed, user_id: Id, amount: z.int().positive(), reason: z.string() });
const Refund = z.object({
  ...signed,
  original_trade_id: z.string().regex(/^\d+$/),
  amount: z.int().positive(),
  reason: z.string(),
});
const Account = z.strictObject({
  user_id: Id,
  balance: z.int(),
  frozen: z.boolean().default(false),
  /** The amount that the owner may owe, in fen. */
  overdraft: z.int().nonnegative().optional(),
});
const Busy = z.strictObject({ times: z.int().nonnegative() });

const codes = {
  done: 0,
  wrongForm: 4000,
  notEnough: 4001,
  frozen: 4002,
  unknownAccount: 4003,
  neverSeen: 4004,
  otherParameters: 4009,
  later: 5000,
} as const;

interface Trade {
  readonly trade_id: string;
  readonly user_id: string;
  /** The amount in fen; negative for a refund. */
  readonly amount: number;
  readonly reason: string;
  readonly original_trade_id?: string;
  readonly state: 'done' | 'refused';
  /** The balance after the trade. */
  readonly balance: number;
  readonly at: string;
  /** The answer to this trade and to every repetition of it. */
  readonly answer: Readonly<Record<string, unknown>>;
}

type Asked = Pick<Trade, 'trade_id' | 'user_id' | 'amount' | 'reason' | 'original_trade_id'>;

/**
 * Makes the payment centre: accounts, and a ledger with one entry per trade id, completed or refused. It stores its
 * answers, so that the same request always gets the same answer; only "try later" is not stored. Its own controls:
 * `POST /__accounts {"user_id","balance","frozen"?,"overdraft"?}`, `POST /__busy {"times"}` (that many trades are
 * answered with 5000).
 */
export function paymentCentre(now: () => Date = () => new Date()): Partner {
  const accounts = new Map<string, Omit<z.infer<typeof Account>, 'user_id'>>();
  const trades = new Map<string, Trade>();
  let busyTimes = 0;

  const known = (asked: Asked): Trade['answer'] | undefined => {
    const trade = trades.get(asked.trade_id);
    if (!trade) return undefined;
    const fields = ['user_id', 'amount', 'reason', 'original_trade_id'] as const;
    const same = fields.every((field) => trade[field] === asked[field]);
    return same ? trade.answer : { code: codes.otherParameters };
  };
  const keep = (asked: Asked, state: Trade['state'], answer: Trade['answer']) => {
    const balance = accounts.get(asked.user_id)?.balance ?? 0;
    trades.set(asked.trade_id, { ...asked, state, balance, at: wallTime(now()), answer });
    return answer;
  };
  const done = (asked: Asked) => {
    const account = accounts.get(asked.user_id) ?? { balance: 0, frozen: false };
    const balance = account.balance - asked.amount;
    accounts.set(asked.user_id, { ...account, balance });
    return keep(asked, 'done', { code: codes.done, trade_id: asked.trade_id, balance });
  };
  const isBusy = () => {
    if (busyTimes === 0) return false;
    busyTimes -= 1;
    return true;
  };

  const deduct = (body: unknown): Trade['answer'] => {
    const request = Deduct.safeParse(body);
    if (!request.success || !isSigned(body)) return { code: codes.wrongForm };
    const { trade_id, user_id, amount, reason } = request.data;
    const asked = { trade_id, user_id, amount, reason };
    const before = known(asked);
    if (before) return before;
    if (isBusy()) return { code: codes.later };
    const account = accounts.get(user_id);
    if (!account) return keep(asked, 'refused', { code: codes.unknownAccount });
    if (account.frozen) return keep(asked, 'refused', { code: codes.frozen });
    if (account.balance + (account.overdraft ?? 0) < amount)
      return keep(asked, 'refused', { code: codes.notEnough, balance: account.balance });
    return done(asked);
  };
  const refund = (body: unknown): Trade['answer'] => {
    const request = Refund.safeParse(body);
    if (!request.success || !isSigned(body)) return { code: codes.wrongForm };
    const { trade_id, original_trade_id, amount, reason } = request.data;
    const original = trades.get(original_trade_id);
    if (original?.state !== 'done') return { code: codes.neverSeen };
    const { user_id } = original;
    const asked = { trade_id, user_id, amount: -amount, reason, original_trade_id };
    const before = known(asked);
    if (before) return before;
    if (isBusy()) return { code: codes.later };
    if (accounts.get(user_id)?.frozen) return keep(asked, 'refused', { code: codes.frozen });
    return leftOf(original, trades) < amount ? { code: codes.otherParameters } : done(asked);
  };

  const tradeOf = (id: string) => {
    const trade = trades.get(id);
    return trade
      ? { code: codes.done, state: trade.state, balance: trade.balance }
      : { code: codes.neverSeen };
  };
  const statementOf = (day: string) => ({
    code: codes.done,
    trades: [...trades.values()]
      .filter(({ state, at }) => state === 'done' && at.startsWith(day))
      .map(({ answer: _, balance: __, state: ___, ...trade }) => trade),
  });

  return {
    state: () => ({ accounts: Object.fromEntries(accounts), trades: [...trades.values()] }),
    reset: () => {
      accounts.clear();
      trades.clear();
      busyTimes = 0;
    },
    /** The refusal for an insufficient balance. It is final for this trade. */
    refuse: ({ method, body }) => {
      if (method === 'GET') return { body: { code: codes.later } };
      const request = Deduct.safeParse(body);
      if (!request.success) return { body: { code: codes.wrongForm } };
      const { sign: _, app: __, ...asked } = request.data;
      const balance = accounts.get(asked.user_id)?.balance ?? 0;
      const refused = () => keep(asked, 'refused', { code: codes.notEnough, balance });
      return { body: known(asked) ?? refused() };
    },
    handle: ({ method, path, query, body }) => {
      if (method === 'POST' && path === '/trade/deduct') return { body: deduct(body) };
      if (method === 'POST' && path === '/trade/refund') return { body: refund(body) };
      const [, id] = /^\/trade\/(\d+)$/.exec(path) ?? [];
      if (method === 'GET' && id) return { body: tradeOf(id) };
      if (method === 'GET' && path === '/statement')
        return { body: statementOf(query.get('day') ?? '') };
      return undefined;
    },
    controls: {
      '/__accounts': (body) => {
        const { user_id, ...account } = Account.parse(body);
        accounts.set(user_id, account);
        return { user_id, ...account };
      },
      '/__busy': (body) => {
        busyTimes = Busy.parse(body).times;
        return { times: busyTimes };
      },
    },
  };
}

/** Returns the amount of a trade that is not refunded yet. */
const leftOf = ({ trade_id, amount }: Trade, trades: ReadonlyMap<string, Trade>): number =>
  [...trades.values()]
    .filter(({ original_trade_id, state }) => original_trade_id === trade_id && state === 'done')
    .reduce((left, refund) => left + refund.amount, amount);

/**
 * Returns the signature that the contract specifies: HMAC-SHA256, in hex, of the compact JSON of the body without
 * `sign`, with sorted keys.
 */
function isSigned(body: unknown): boolean {
  const { sign, ...rest } = z.looseObject({ app: z.string(), sign: z.string() }).parse(body);
  const sorted = Object.entries(rest).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const text = JSON.stringify(Object.fromEntries(sorted));
  const right = createHmac('sha256', paymentAccount.key).update(text).digest();
  const given = Buffer.from(sign, 'hex');
  const is = given.length === right.length && timingSafeEqual(given, right);
  return is && rest.app === paymentAccount.app;
}

export const startPayment = (port = 0): Promise<Simulator> => startSimulator(paymentCentre(), port);
