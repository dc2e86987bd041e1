/** The client of K3, the ERP system that has the contracts. */
import * as z from 'zod';
import { cutTo } from '../../platform/cut.ts';
import { PartnerUnavailable } from '../../platform/errors.ts';
import type { Exchange } from '../../platform/partners/http-exchange.ts';
import { type Partner, partner } from '../../platform/partners/partner.ts';
import { isAddressable } from '../contract-numbers.ts';
import type { CallSettings } from '../settings.ts';

/** A contract in K3. The amount is in fen. */
export const K3Contract = z.object({
  number: z.string(),
  customer: z.string(),
  amount: z.int(),
  signed_at: z.string(),
});
export type K3Contract = z.infer<typeof K3Contract>;

/** The reason of a refusal, for people. A refusal without it is still a refusal. */
const Message = z.string().catch('no reason');
const Refused = z.object({ success: z.literal(false), message: Message });
/** The length of the column. A bill with a longer number, or without a number, is still posted. */
const billNoLengthMax = 64;
const Posted = z.object({
  success: z.literal(true),
  bill_no: z
    .union([z.string().min(1), z.number()])
    .transform((number) => cutTo(String(number), billNoLengthMax))
    .nullable()
    .catch(null),
});
const Found = z.object({ success: z.literal(true), ...K3Contract.shape });

/**
 * Posts a contract into an account set. K3 is idempotent by number, so a request without an answer is repeated. Throws
 * `PartnerUnavailable`; a refusal is a result.
 */
export async function postToK3(
  k3: Partner,
  KDAccount: string,
  contract: K3Contract,
): Promise<z.infer<typeof Posted> | z.infer<typeof Refused>> {
  return await k3({
    method: 'POST',
    path: '/contracts',
    json: { KDAccount, ...contract },
    about: { number: contract.number },
    answer: z.union([Posted, Refused]),
    repeatable: true,
  });
}

/**
 * Returns K3's contract with this number; undefined if K3 has none. A number that no URL can contain counts as an
 * unreadable answer.
 */
export async function readFromK3(k3: Partner, number: string): Promise<K3Contract | undefined> {
  if (!isAddressable(number))
    throw new PartnerUnavailable(
      'K3',
      'none',
      `contract number ${number} cannot be part of a URL`,
      { answered: true },
    );
  const answer = z.union([Found, Refused]);
  const path = `/contracts/${encodeURIComponent(number)}` as const;
  const found = await k3({ method: 'GET', path, about: { number }, answer });
  return found.success ? K3Contract.parse(found) : undefined;
}

const timeoutMs = 5_000;
const retry = { attemptsMax: 2, delayMs: 200 };

/** Returns the client. The address comes from the configuration document. */
export const k3 = (
  settings: () => Promise<Pick<CallSettings, 'k3_url'>>,
  exchange?: Exchange,
): Partner =>
  partner(
    { name: 'K3', baseUrl: async () => (await settings()).k3_url, timeoutMs, retry },
    exchange,
  );
