/** Queues of this domain and the schemas of their messages. */
import * as z from 'zod';
import { Id } from '../platform/ids.ts';
import { queue } from '../platform/messaging/queue.ts';
import { isAddressable } from './contract-numbers.ts';
import { digitsOf } from './phone-numbers.ts';

/** Refuses unpaired surrogates, because a database stores another character for them. */
const Text = z
  .string()
  .min(1)
  .refine((text) => text.isWellFormed(), 'Expected whole characters');
const Fen = z.int('Expected an amount in whole fen');
/** Shanghai wall time, as MySQL writes it. */
const WallTime = z
  .string()
  .regex(/^(?!0000)\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}$/, 'Expected YYYY-MM-DD HH:mm:ss')
  .refine((text) => {
    const date = new Date(`${text.replace(' ', 'T')}Z`);
    return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text.replace(' ', 'T'));
  }, 'Expected a time that exists');

const numberLengthMax = 32;
const intMax = 2 ** 31 - 1;
/** A start in another century comes from a clock that was never set. */
const thisCentury = /^20/;
const secondsMax = 86_400;

/** A finished call, as the 400 service posts it. */
export const FinishedCall = z.object({
  call_id: Text.max(64),
  routing_key: Text,
  caller: Text.max(numberLengthMax).refine(
    (caller) => digitsOf(caller) !== '',
    'Expected a telephone number',
  ),
  callee: Text.max(numberLengthMax),
  user_id: Id,
  /** 1: connected. */
  status: z.int().min(-intMax).max(intMax),
  started_at: WallTime.refine((time) => thisCentury.test(time), 'Expected a time of this century'),
  /** In seconds. */
  duration: z.int().nonnegative().max(secondsMax),
  /** 1 normal, 2 call-back (回拨). */
  call_type: z.literal([1, 2]).default(1),
});
export type FinishedCall = z.infer<typeof FinishedCall>;

export const finishedCalls = queue('call/filter-call', FinishedCall);

/** A valid call to charge; `callLogId` is the row's id in sublessor_call_log_201409. */
export const ValidCall = z.object({ callLogId: Id, userId: Id });
export type ValidCall = z.infer<typeof ValidCall>;

export const callsToCharge = queue('call/charge-call', ValidCall);

/** All listings of an owner go offline because of a payment; `paymentId` is its id in the payment log. */
export const OutOfMoney = z.object({
  userId: Id,
  paymentId: Id,
  why: z.enum([
    'not enough money',
    'account frozen',
    'unknown account',
    'balance is 0',
    'reason unknown',
  ]),
});
export type OutOfMoney = z.infer<typeof OutOfMoney>;

/** Sent by the payment centre: an owner paid money in; `balance` in fen is the new one. */
export const ToppedUp = z.object({ user_id: Id, topped_up_at: WallTime, balance: Fen });
export type ToppedUp = z.infer<typeof ToppedUp>;

export const listingSwitches = queue('call/switch-listings', z.union([OutOfMoney, ToppedUp]));

/** A signed contract; its amount pays for the owner's charges. */
export const SignedContract = z.object({
  contract_id: Id,
  contract_no: Text.max(64).refine(isAddressable, 'Expected another number'),
  user_id: Id,
  customer: Text.max(128),
  amount_fen: Fen.positive(),
  signed_at: WallTime,
});
export type SignedContract = z.infer<typeof SignedContract>;

export const signedContracts = queue('call/post-contract', SignedContract);
