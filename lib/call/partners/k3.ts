/** The client of K3, the ERP system that has the contracts. */
import * as z from 'zod';
import { cutTo } from '../../platform/cut.ts';
import { issuesOf } from '../../platform/issues.ts';
import type { Exchange } from '../../platform/partners/http-exchange.ts';
import { type Partner, partner } from '../../platform/partners/partner.ts';
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
const BillNo = z
  .union([z.string().min(1), z.number()])
  .transform((number) => cutTo(String(number), billNoLengthMax))
  .nullable()
  .catch(null);
const Posted = z.object({ success: z.literal(true), bill_no: BillNo });

/** What K3 itself says of a number. `unreadable`: it has something, and says of it nothing that can be read. */
export type InK3 =
  | { readonly is: 'there'; readonly contract: K3Contract; readonly bill_no: string | null }
  | { readonly is: 'absent' }
  | { readonly is: 'unreadable'; readonly why: string };

const Found = z.object({ success: z.literal(true), ...K3Contract.shape, bill_no: BillNo });
/** K3 marks each of its own answers by `success`: one without it may come from a gateway before K3. */
const Read = z.union([
  Found.transform(
    ({ success: _, bill_no, ...contract }): InK3 => ({ is: 'there', contract, bill_no }),
  ),
  Refused.transform((): InK3 => ({ is: 'absent' })),
  z.looseObject({ success: z.literal(true) }).transform((answer): InK3 => {
    const { error } = Found.safeParse(answer);
    return { is: 'unreadable', why: error ? issuesOf(error) : 'in another form' };
  }),
]);

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
 * Returns K3's own answer about a contract number, which a URL must be able to contain (`isAddressable`). Throws
 * `PartnerUnavailable` for every answer that is not K3's own.
 */
export async function readFromK3(k3: Partner, number: string): Promise<InK3> {
  const path = `/contracts/${encodeURIComponent(number)}` as const;
  return await k3({ method: 'GET', path, about: { number }, answer: Read });
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
