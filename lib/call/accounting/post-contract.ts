/** Stores signed contracts, lets them pay for unallocated charges, and posts them to K3. */
import type { Kysely, Transaction } from 'kysely';
import { cutTo } from '../../platform/cut.ts';
import { PartnerUnavailable, Rejected } from '../../platform/errors.ts';
import type { Outcome } from '../../platform/lambda/log.ts';
import { inTransaction } from '../../platform/mysql/mysql.ts';
import { type Partner, postponeIfUnavailable } from '../../platform/partners/partner.ts';
import type { AccountingTables } from '../accounting-tables.ts';
import { isAddressable } from '../contract-numbers.ts';
import { type K3Contract, postToK3, readFromK3 } from '../partners/k3.ts';
import type { SignedContract } from '../queues.ts';
import {
  type FirstCallSwitchOff,
  isLeased,
  leaseExpiry,
  postponeIfLeased,
  postponeIfSwitchedOff,
} from '../row-lease.ts';
import type { CallSettings } from '../settings.ts';
import { allocateWaiting, lockAccount } from './owner-accounts.ts';

export interface ContractDeps {
  readonly mysql: Kysely<AccountingTables>;
  readonly k3: Partner;
  readonly settings: () => Promise<Pick<CallSettings, 'KDAccount'>>;
  readonly firstSwitchOff: FirstCallSwitchOff;
  readonly clock?: () => Date;
}

type Trx = Transaction<AccountingTables>;

const contracts = 'user_prop_db.sublessor_contract';
const postings = 'user_prop_db.sublessor_contract_posting';

/** A leased contract posting. `epoch` is its fencing token. */
interface LeasedPosting {
  readonly contract: K3Contract;
  readonly epoch: number;
  readonly attempts: number;
}

/**
 * Stores a contract, allocates unallocated income to it, and posts it to K3. After a refusal by K3 a person corrects
 * the customer in K3 and sends the message again, or sends it with the right name: either posts the contract again. A
 * message that differs from the stored contract in any other field is rejected.
 */
export async function postContract(deps: ContractDeps, signed: SignedContract): Promise<Outcome> {
  const { mysql, k3, settings, firstSwitchOff, clock } = deps;
  const { contract_id, contract_no } = signed;
  const stored = await inTransaction(mysql, (trx) => storeContract(trx, signed));
  if (typeof stored === 'string') return { outcome: stored, contract_id, contract_no };
  const facts = stored && { allocatedFen: await allocateRest(mysql, signed.user_id, stored) };
  await postponeIfSwitchedOff(firstSwitchOff, 'partner/k3');
  const leased = await inTransaction(mysql, (trx) => leasePosting(trx, contract_id));
  if (!leased) return { outcome: 'already-posted', contract_id, contract_no };
  const { KDAccount } = await settings();
  const answer = await postponeIfUnavailable(
    leased.attempts,
    () => postAndVerify(k3, KDAccount, leased.contract),
    clock,
  );
  const outcome = await inTransaction(mysql, (trx) =>
    recordAnswer(trx, contract_id, leased, answer),
  );
  return { outcome, contract_id, contract_no, ...facts };
}

async function storeContract(trx: Trx, signed: SignedContract) {
  const { contract_id, contract_no, user_id } = signed;
  const amount_fen = String(signed.amount_fen);
  await lockAccount(trx, user_id);
  const { numInsertedOrUpdatedRows } = await trx
    .insertInto(contracts)
    .ignore()
    .values({ ...signed, amount_fen, balance_fen: amount_fen })
    .executeTakeFirst();
  if (!numInsertedOrUpdatedRows) return await compareWithStored(trx, signed);
  await trx.insertInto(postings).values({ contract_id, contract_no, amount_fen }).execute();
  return await allocateWaiting(trx, user_id);
}

/** After this many portions call/post-income allocates the rest. */
const portionsMax = 20;

/** Allocates the rest in one transaction per portion, so that the account is never locked for long. */
async function allocateRest(
  mysql: Kysely<AccountingTables>,
  user_id: string,
  first: Awaited<ReturnType<typeof allocateWaiting>>,
): Promise<number> {
  let { allocatedFen, more } = first;
  for (let portion = 2; more && portion <= portionsMax; portion++) {
    const next = await inTransaction(mysql, async (trx) => {
      await lockAccount(trx, user_id);
      return await allocateWaiting(trx, user_id);
    });
    allocatedFen += next.allocatedFen;
    more = next.more;
  }
  return Number(allocatedFen);
}

/** Compares a repeated message with the stored contract and corrects the customer after a refusal; rejects any other difference. */
async function compareWithStored(trx: Trx, signed: SignedContract) {
  const { contract_id, contract_no } = signed;
  const known = await trx
    .selectFrom(contracts)
    .innerJoin(postings, `${postings}.contract_id`, `${contracts}.contract_id`)
    .selectAll(contracts)
    .select('customers_before')
    .where(({ eb, or }) =>
      or([
        eb(`${contracts}.contract_id`, '=', contract_id),
        eb(`${contracts}.contract_no`, '=', contract_no),
      ]),
    )
    .forUpdate()
    .executeTakeFirstOrThrow();
  const fields = ['contract_id', 'contract_no', 'user_id', 'amount_fen', 'signed_at'] as const;
  const differing = fields.filter((field) => String(signed[field]) !== known[field]);
  if (differing.length) throw contractDiffers(contract_id, differing, signed, known);
  const before = known.customers_before ?? [];
  if (signed.customer !== known.customer) {
    if (before.includes(signed.customer)) return 'superseded' as const;
    if (known.status !== 'refused') throw contractDiffers(contract_id, ['customer'], signed, known);
    await correctCustomer(trx, signed, [...before, known.customer]);
  }
  return known.status === 'posted' ? ('already-posted' as const) : undefined;
}

function contractDiffers<Field extends keyof SignedContract>(
  id: string,
  fields: readonly Field[],
  sent: Readonly<Record<Field, unknown>>,
  known: Readonly<Record<Field, unknown>>,
): Rejected {
  const parts = fields.map((field) => `${field} is ${known[field]}, not ${sent[field]}`);
  return new Rejected(`Contract ${id} is stored with other values: ${parts.join('; ')}`);
}

async function correctCustomer(
  trx: Trx,
  { contract_id, customer }: SignedContract,
  before: readonly string[],
): Promise<void> {
  await trx
    .updateTable(contracts)
    .set({ customer })
    .where('contract_id', '=', contract_id)
    .execute();
  await trx
    .updateTable(postings)
    .set({ customers_before: JSON.stringify(before) })
    .where('contract_id', '=', contract_id)
    .execute();
}

/** Leases the posting. Returns undefined if it is posted already. */
async function leasePosting(trx: Trx, contract_id: string): Promise<LeasedPosting | undefined> {
  const row = await trx
    .selectFrom(postings)
    .innerJoin(contracts, `${contracts}.contract_id`, `${postings}.contract_id`)
    .select([`${contracts}.contract_no`, 'customer', `${contracts}.amount_fen`, 'signed_at'])
    .select(['status', 'epoch', 'attempts', 'held_until', isLeased('held_until').as('held')])
    .where(`${postings}.contract_id`, '=', contract_id)
    .forUpdate()
    .executeTakeFirstOrThrow();
  if (row.status === 'posted') return undefined;
  postponeIfLeased(row, `Contract ${contract_id}`);
  const [epoch, attempts] = [row.epoch + 1, row.attempts + 1];
  await trx
    .updateTable(postings)
    .set({ epoch, attempts, held_until: leaseExpiry })
    .where('contract_id', '=', contract_id)
    .execute();
  const { contract_no: number, customer, signed_at } = row;
  return {
    contract: { number, customer, amount: Number(row.amount_fen), signed_at },
    epoch,
    attempts,
  };
}

/**
 * Posts a contract and verifies a refusal: the answer of an earlier, successful attempt may have been lost. A contract
 * that K3 has with the same content counts as posted.
 */
async function postAndVerify(k3: Partner, KDAccount: string, contract: K3Contract) {
  const answer = await postToK3(k3, KDAccount, contract);
  if (answer.success || !isAddressable(contract.number)) return answer;
  const inK3 = await readFromK3(k3, contract.number).catch(undefinedIfAnswered);
  if (inK3?.is !== 'there' || !isSame(inK3.contract, contract)) return answer;
  return { success: true as const, bill_no: inK3.bill_no };
}

/** An answer that is not K3's own leaves the refusal as it is; without any answer nothing is decided. */
function undefinedIfAnswered(error: unknown): undefined {
  if (error instanceof PartnerUnavailable && error.answered) return;
  throw error;
}

const isSame = (one: K3Contract, other: K3Contract): boolean =>
  (Object.keys(one) as (keyof K3Contract)[]).every((field) => one[field] === other[field]);

/** Writes K3's answer, unless another worker has leased the posting since. */
async function recordAnswer(
  trx: Trx,
  contract_id: string,
  { epoch }: LeasedPosting,
  answer: Awaited<ReturnType<typeof postAndVerify>>,
): Promise<'posted' | 'refused' | 'fenced-off'> {
  const known = answer.success
    ? { bill_no: answer.bill_no, message: null }
    : { message: cutTo(answer.message, messageLengthMax) };
  const { numUpdatedRows } = await trx
    .updateTable(postings)
    .set({ ...known, held_until: null, attempts: 0 })
    .where('contract_id', '=', contract_id)
    .where('epoch', '=', epoch)
    .executeTakeFirst();
  if (!numUpdatedRows) return 'fenced-off';
  const status = answer.success ? 'posted' : 'refused';
  await trx.updateTable(contracts).set({ status }).where('contract_id', '=', contract_id).execute();
  return status;
}

/** The length of the column `message`. */
const messageLengthMax = 500;
