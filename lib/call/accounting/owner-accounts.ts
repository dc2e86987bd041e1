/** Moves money between charges and the contracts of their owner, under the lock of the owner's account. */
import { type Kysely, sql, type Transaction } from 'kysely';
import type { AccountingTables } from '../accounting-tables.ts';
import { allocate, type Part, type Share, shareOut, type UnallocatedIncome } from './allocation.ts';

type Trx = Transaction<AccountingTables>;

const contracts = 'user_prop_db.sublessor_contract';
const income = 'user_prop_db.sublessor_accounting_income_201409';
const payments = 'user_prop_db.sublessor_call_payment_log_201409';

/** A charge with state `charged`, or its reversal. */
export interface Payment {
  readonly id: string;
  readonly user_id: string;
  readonly amount_fen: string | number;
  readonly reverses_id: string | null;
}

/**
 * Locks the owner's account until the transaction ends, so that no other transaction moves this owner's money. It must
 * be the first lock of a transaction, which rules out deadlocks between transactions that move money.
 */
export async function lockAccount(trx: Trx, user_id: string): Promise<void> {
  await trx
    .insertInto('user_prop_db.sublessor_account')
    .values({ user_id })
    .onDuplicateKeyUpdate({ user_id: sql`sublessor_account.user_id` })
    .execute();
}

/** Requests that call/post-income allocate these owners' unallocated income. Locks their accounts as `lockAccount` does. */
export async function allocateLater(trx: Trx, owners: readonly string[]): Promise<void> {
  for (const user_id of [...new Set(owners)].toSorted())
    await trx
      .insertInto('user_prop_db.sublessor_account')
      .values({ user_id, allocate_since: sql<string>`now(3)` })
      .onDuplicateKeyUpdate({
        allocate_since: sql<string>`coalesce(sublessor_account.allocate_since, now(3))`,
      })
      .execute();
}

/**
 * Posts a charge or a reversal to the owner's contracts: income and balances in one transaction. The caller has locked
 * the owner's account. Returns false if the payment is posted already.
 */
export async function postPayment(trx: Trx, payment: Payment): Promise<boolean> {
  if ((await incomeOf(trx, payment.id)).length) return false;
  if (payment.reverses_id === null) await postCharge(trx, payment);
  else await postReversal(trx, payment, payment.reverses_id);
  return true;
}

/** Leaves a new charge unallocated while older charges are being allocated: contracts pay charges in their order. */
async function postCharge(trx: Trx, { id, user_id, amount_fen }: Payment): Promise<void> {
  const funds = (await isAllocating(trx, user_id)) ? [] : await fundsOf(trx, user_id);
  const parts = allocate(BigInt(amount_fen), funds);
  for (const part of parts) await insertIncome(trx, id, user_id, part);
}

/**
 * Undoes the charge's posting: refunds each contract what it paid and cancels the unallocated rest. Refunded money is
 * then allocated to other unallocated charges.
 */
async function postReversal(trx: Trx, { id, user_id }: Payment, chargeId: string): Promise<void> {
  const charge = await trx
    .selectFrom(payments)
    .select(['id', 'user_id', 'amount_fen', 'reverses_id'])
    .where('id', '=', chargeId)
    .where('state', '=', 'charged')
    .executeTakeFirstOrThrow(
      () => new Error(`Reversal ${id} cannot be posted: payment ${chargeId} is not charged.`),
    );
  await postPayment(trx, charge);
  for (const { contract_id, amount_fen } of await incomeOf(trx, chargeId))
    await insertIncome(trx, id, user_id, { contract_id, amount_fen: -BigInt(amount_fen) });
  await allocateWaiting(trx, user_id);
}

const incomeOf = (trx: Trx, payment_id: string) =>
  trx
    .selectFrom(income)
    .select(['contract_id', 'amount_fen'])
    .where('payment_id', '=', payment_id)
    .execute();

/** Returns and locks the contracts that have money left, the oldest first. */
async function fundsOf(trx: Trx, user_id: string) {
  const rows = await trx
    .selectFrom(contracts)
    .select(['contract_id', 'balance_fen'])
    .where('user_id', '=', user_id)
    .where('balance_fen', '>', '0')
    .orderBy('signed_at')
    .orderBy('contract_id')
    .forUpdate()
    .execute();
  return rows.map(({ contract_id, balance_fen }) => ({
    contract_id,
    balance_fen: BigInt(balance_fen),
  }));
}

async function insertIncome(
  trx: Trx,
  payment_id: string,
  user_id: string,
  { contract_id, amount_fen }: Part,
): Promise<void> {
  await takeFrom(trx, contract_id, amount_fen);
  await trx
    .insertInto(income)
    .values({ payment_id, contract_id, user_id, amount_fen: String(amount_fen) })
    .execute();
}

/** Subtracts an amount from a contract's balance. A negative amount is a refund. */
async function takeFrom(trx: Trx, contract_id: string | null, amountFen: bigint): Promise<void> {
  if (contract_id === null) return;
  await trx
    .updateTable(contracts)
    .set({ balance_fen: sql`balance_fen - ${String(amountFen)}` })
    .where('contract_id', '=', contract_id)
    .execute();
}

/** The amount allocated, in fen; `more` if income is still unallocated while a contract has money. */
interface Portion {
  readonly allocatedFen: bigint;
  readonly more: boolean;
}

/** Limits how long the account is locked: this many rows take well under a second. */
const portionRowsMax = 500;

/**
 * Allocates one portion of the owner's unallocated income to contracts, in the order of the charges. The caller has
 * locked the owner's account. If more is left, `allocate_since` is set, and each further portion needs its own
 * transaction. Charges that were reversed are left out.
 */
export async function allocateWaiting(trx: Trx, user_id: string): Promise<Portion> {
  const funds = await fundsOf(trx, user_id);
  const waiting = funds.length ? await waitingOf(trx, user_id, portionRowsMax + 1) : [];
  const shares = shareOut(waiting.slice(0, portionRowsMax), funds);
  if (shares.length) await transfer(trx, user_id, shares);
  const allocatedFen = sumOf(shares);
  const more = waiting.length > portionRowsMax && allocatedFen < sumOf(funds);
  await trx
    .updateTable('user_prop_db.sublessor_account')
    .set({ allocate_since: more ? sql<string>`coalesce(allocate_since, now(3))` : null })
    .where('user_id', '=', user_id)
    .execute();
  return { allocatedFen, more };
}

const sumOf = (ones: readonly ({ amount_fen: bigint } | { balance_fen: bigint })[]): bigint =>
  ones.reduce((sum, one) => sum + ('amount_fen' in one ? one.amount_fen : one.balance_fen), 0n);

/** Returns owners whose unallocated income did not fit into one portion, the longest waiting first. */
export async function accountsToAllocate(
  mysql: Kysely<AccountingTables>,
  limit: number,
): Promise<string[]> {
  const rows = await mysql
    .selectFrom('user_prop_db.sublessor_account')
    .select('user_id')
    .where('allocate_since', 'is not', null)
    .orderBy('allocate_since')
    .limit(limit)
    .execute();
  return rows.map(({ user_id }) => user_id);
}

async function isAllocating(trx: Trx, user_id: string): Promise<boolean> {
  const account = await trx
    .selectFrom('user_prop_db.sublessor_account')
    .select('allocate_since')
    .where('user_id', '=', user_id)
    .executeTakeFirst();
  return account?.allocate_since != null;
}

/** Moves amounts from unallocated income to contracts. A contract may have paid a part of the same charge before. */
async function transfer(trx: Trx, user_id: string, shares: readonly Share[]): Promise<void> {
  for (const [contract_id, own] of Map.groupBy(shares, (share) => share.contract_id))
    await takeFrom(trx, contract_id, sumOf(own));
  await trx
    .insertInto(income)
    .values(
      shares.map(({ waiting: { payment_id }, contract_id, amount_fen }) => ({
        payment_id,
        contract_id,
        user_id,
        amount_fen: String(amount_fen),
      })),
    )
    .onDuplicateKeyUpdate({ amount_fen: sql`amount_fen + values(amount_fen)` })
    .execute();
  const moved = Map.groupBy(shares, ({ waiting }) => waiting);
  const paid = Array.from(moved).filter(([{ amount_fen }, own]) => sumOf(own) === amount_fen);
  const ids = paid.map(([{ id }]) => id);
  if (ids.length) await trx.deleteFrom(income).where('id', 'in', ids).execute();
  for (const [{ id, amount_fen }, own] of moved)
    if (sumOf(own) !== amount_fen)
      await trx
        .updateTable(income)
        .set({ amount_fen: String(amount_fen - sumOf(own)) })
        .where('id', '=', id)
        .execute();
}

async function waitingOf(trx: Trx, user_id: string, limit: number): Promise<UnallocatedIncome[]> {
  const rows = await trx
    .selectFrom(`${income} as income`)
    .select(['income.id', 'income.payment_id', 'income.amount_fen'])
    .where('income.user_id', '=', user_id)
    .where('income.contract_id', 'is', null)
    .where('income.amount_fen', '>', '0')
    .where(({ not, exists, selectFrom }) =>
      not(
        exists(
          selectFrom(`${payments} as reversal`)
            .innerJoin(`${income} as back`, 'back.payment_id', 'reversal.id')
            .select('back.id')
            .whereRef('reversal.reverses_id', '=', 'income.payment_id'),
        ),
      ),
    )
    .orderBy('income.payment_id')
    .orderBy('income.id')
    .limit(limit)
    .execute();
  return rows.map((row) => ({ ...row, amount_fen: BigInt(row.amount_fen) }));
}
