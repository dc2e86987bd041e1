import * as z from 'zod';
import { issuesOf } from '../platform/config.ts';
import { cutTo } from '../platform/cut.ts';
import type { Exchange } from '../platform/exchange.ts';
import { type Partner, partner } from '../platform/http.ts';
import type { CallSettings } from './settings.ts';

/** A contract as K3 has it, or is to have it. The amount is in fen. */
export const K3Contract = z.object({
  number: z.string(),
  customer: z.string(),
  amount: z.int(),
  signed_at: z.string(),
});
export type K3Contract = z.infer<typeof K3Contract>;

/** Why it was refused is for a person to read: without it a refusal is one all the same. */
const Message = z.string().catch('no reason');
const Refused = z.object({ success: z.literal(false), message: Message });
/** As long as the column: a bill with a longer number, or with none, is posted all the same. */
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
 * Posts a contract into an account set. The same number again gives the same bill, so a lost answer is asked for once
 * more. Throws `PartnerAway`; a refusal is an answer.
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
 * What K3 has under a contract's number, which an address must be able to name (`isAddressable`). Throws `PartnerAway`
 * for every answer that is not K3's own.
 */
export async function readFromK3(k3: Partner, number: string): Promise<InK3> {
  const path = `/contracts/${encodeURIComponent(number)}` as const;
  return await k3({ method: 'GET', path, about: { number }, answer: Read });
}

const timeoutMs = 5_000;
const retry = { attemptsMax: 2, delayMs: 200 };

/** K3, at the address of the configuration document. */
export const k3 = (
  settings: () => Promise<Pick<CallSettings, 'k3_url'>>,
  exchange?: Exchange,
): Partner =>
  partner(
    { name: 'K3', baseUrl: async () => (await settings()).k3_url, timeoutMs, retry },
    exchange,
  );
