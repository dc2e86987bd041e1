import type { Kysely, Transaction } from 'kysely';
import { cutTo } from '../../platform/cut.ts';
import { PartnerUnavailable, Rejected } from '../../platform/errors.ts';
import { inTransaction } from '../../platform/mysql/mysql.ts';
import { type Partner, unlessAway } from '../../platform/partners/partner.ts';
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

/** A contract in hand: what is posted, and who posts it. */
interface InHand {
  readonly contract: K3Contract;
  readonly epoch: number;
  readonly attempts: number;
}

/**
 * Takes in a contract, lets it pay for what waited for one, and posts it to K3. What K3 refuses waits for a person, who
 * corrects it there, or sends the same message with the customer's right name: either posts it again. Any other
 * difference to what was sent before is rejected.
 */
export async function postContract(deps: ContractDeps, signed: SignedContract) {
  const { mysql, k3, settings, firstSwitchOff, clock } = deps;
  const { contract_id, contract_no } = signed;
  const taken = await inTransaction(mysql, (trx) => takeIn(trx, signed));
  if (typeof taken === 'string') return { outcome: taken, contract_id, contract_no };
  const facts = taken && { allocatedFen: await allocateRest(mysql, signed.user_id, taken) };
  await postponeIfSwitchedOff(firstSwitchOff, 'partner/k3');
  const inHand = await inTransaction(mysql, (trx) => take(trx, contract_id));
  if (!inHand) return { outcome: 'posted before', contract_id, contract_no };
  const { KDAccount } = await settings();
  const answer = await unlessAway(
    inHand.attempts,
    () => answerOf(k3, KDAccount, inHand.contract),
    clock,
  );
  const outcome = await inTransaction(mysql, (trx) => note(trx, contract_id, inHand, answer));
  return { outcome, contract_id, contract_no, ...facts };
}

async function takeIn(trx: Trx, signed: SignedContract) {
  const { contract_id, contract_no, user_id } = signed;
  const amount_fen = String(signed.amount_fen);
  await lockAccount(trx, user_id);
  const { numInsertedOrUpdatedRows } = await trx
    .insertInto(contracts)
    .ignore()
    .values({ ...signed, amount_fen, balance_fen: amount_fen })
    .executeTakeFirst();
  if (!numInsertedOrUpdatedRows) return await compare(trx, signed);
  await trx.insertInto(postings).values({ contract_id, contract_no, amount_fen }).execute();
  return await allocateWaiting(trx, user_id);
}

/** With more than this many waiting rows call/post-income allocates the rest. */
const portionsMax = 20;

/** Allocates what the first portion left, in portions of their own, so that nobody waits long for the account. */
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

/** What a contract's number and content are held against when it comes again; the customer may be corrected. */
async function compare(trx: Trx, signed: SignedContract) {
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
  if (differing.length) throw differs(contract_id, differing, signed, known);
  const before = known.customers_before ?? [];
  if (signed.customer !== known.customer) {
    if (before.includes(signed.customer)) return 'corrected since';
    if (known.status !== 'refused') throw differs(contract_id, ['customer'], signed, known);
    await correct(trx, signed, [...before, known.customer]);
  }
  return known.status === 'posted' ? 'posted before' : undefined;
}

function differs<Field extends keyof SignedContract>(
  id: string,
  fields: readonly Field[],
  sent: Readonly<Record<Field, unknown>>,
  known: Readonly<Record<Field, unknown>>,
): Rejected {
  const parts = fields.map((field) => `${field} is ${known[field]}, not ${sent[field]}`);
  return new Rejected(`Contract ${id} is known otherwise: ${parts.join('; ')}`);
}

async function correct(
  trx: Trx,
  { contract_id, customer }: SignedContract,
  before: readonly string[],
): Promise<void> {
  const ours = ['contract_id', '=', contract_id] as const;
  await trx
    .updateTable(contracts)
    .set({ customer })
    .where(...ours)
    .execute();
  const customers_before = JSON.stringify(before);
  await trx
    .updateTable(postings)
    .set({ customers_before })
    .where(...ours)
    .execute();
}

/** Takes the posting in hand; undefined where it was done meanwhile. */
async function take(trx: Trx, contract_id: string): Promise<InHand | undefined> {
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
 * What K3 says of a contract. A refusal is checked, because an answer of yes may have been lost before it: a contract
 * that K3 has as it was sent is posted.
 */
async function answerOf(k3: Partner, KDAccount: string, contract: K3Contract) {
  const answer = await postToK3(k3, KDAccount, contract);
  if (answer.success || !isAddressable(contract.number)) return answer;
  const inK3 = await readFromK3(k3, contract.number).catch(unlessSilent);
  if (inK3?.is !== 'there' || !isSame(inK3.contract, contract)) return answer;
  return { success: true as const, bill_no: inK3.bill_no };
}

/** An answer that is not K3's own changes nothing about its refusal; without any answer nothing is decided. */
function unlessSilent(error: unknown): undefined {
  if (error instanceof PartnerUnavailable && error.answered) return;
  throw error;
}

const isSame = (one: K3Contract, other: K3Contract): boolean =>
  (Object.keys(one) as (keyof K3Contract)[]).every((field) => one[field] === other[field]);

/** Writes K3's answer, unless another has taken the contract in hand since. */
async function note(
  trx: Trx,
  contract_id: string,
  { epoch }: InHand,
  answer: Awaited<ReturnType<typeof answerOf>>,
): Promise<'posted' | 'refused' | 'overtaken'> {
  const known = answer.success
    ? { bill_no: answer.bill_no, message: null }
    : { message: cutTo(answer.message, messageLengthMax) };
  const { numUpdatedRows } = await trx
    .updateTable(postings)
    .set({ ...known, held_until: null, attempts: 0 })
    .where('contract_id', '=', contract_id)
    .where('epoch', '=', epoch)
    .executeTakeFirst();
  if (!numUpdatedRows) return 'overtaken';
  const status = answer.success ? 'posted' : 'refused';
  await trx.updateTable(contracts).set({ status }).where('contract_id', '=', contract_id).execute();
  return status;
}

/** As long as the column. */
const messageLengthMax = 500;
