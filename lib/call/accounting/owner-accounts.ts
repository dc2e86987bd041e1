import { type Kysely, sql, type Transaction } from 'kysely';
import type { AccountingTables } from '../accounting-tables.ts';
import { allocated, type Part, type Share, shareOut, type Waiting } from './allocation.ts';

type Trx = Transaction<AccountingTables>;

const contracts = 'user_prop_db.sublessor_contract';
const income = 'user_prop_db.sublessor_accounting_income_201409';
const payments = 'user_prop_db.sublessor_call_payment_log_201409';

/** A charge that was made, or the reversal of one. */
export interface Payment {
  readonly id: string;
  readonly user_id: string;
  readonly amount_fen: string | number;
  readonly reverses_id: string | null;
}

/**
 * Keeps all others from moving this owner's money until the transaction ends. Taken before any other lock, so that
 * nobody who moves money ever waits in a circle.
 */
export async function lockAccount(trx: Trx, user_id: string): Promise<void> {
  await trx
    .insertInto('user_prop_db.sublessor_account')
    .values({ user_id })
    .onDuplicateKeyUpdate({ user_id: sql`sublessor_account.user_id` })
    .execute();
}

/** Lets call/post-income allocate what waits of these owners; their accounts are locked as by `lockAccount`. */
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
 * Posts a charge, or the reversal of one, to the owner's contracts, whose account the caller has locked: income and
 * balances together. False where it was posted before.
 */
export async function postPayment(trx: Trx, payment: Payment): Promise<boolean> {
  if ((await incomeOf(trx, payment.id)).length) return false;
  if (payment.reverses_id === null) await postCharge(trx, payment);
  else await postReversal(trx, payment, payment.reverses_id);
  return true;
}

/** While older charges are still being allocated a new one waits with them: contracts pay in the order of charges. */
async function postCharge(trx: Trx, { id, user_id, amount_fen }: Payment): Promise<void> {
  const funds = (await isAllocating(trx, user_id)) ? [] : await fundsOf(trx, user_id);
  const parts = allocated(BigInt(amount_fen), funds);
  for (const part of parts) await write(trx, id, user_id, part);
}

/**
 * Takes back exactly what the charge was posted as: from contracts what they paid, from what waits what waits. What
 * the contracts get back pays for what waits of other charges.
 */
async function postReversal(trx: Trx, { id, user_id }: Payment, chargeId: string): Promise<void> {
  const charge = await trx
    .selectFrom(payments)
    .select(['id', 'user_id', 'amount_fen', 'reverses_id'])
    .where('id', '=', chargeId)
    .where('state', '=', 'charged')
    .executeTakeFirstOrThrow(() => new Error(`${id} reverses ${chargeId}, which was not charged.`));
  await postPayment(trx, charge);
  for (const { contract_id, amount_fen } of await incomeOf(trx, chargeId))
    await write(trx, id, user_id, { contract_id, amount_fen: -BigInt(amount_fen) });
  await allocateWaiting(trx, user_id);
}

const incomeOf = (trx: Trx, payment_id: string) =>
  trx
    .selectFrom(income)
    .select(['contract_id', 'amount_fen'])
    .where('payment_id', '=', payment_id)
    .execute();

/** Contracts that have money left, the oldest first. */
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

async function write(
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

/** Takes an amount out of a contract's balance; a negative one is given back. */
async function takeFrom(trx: Trx, contract_id: string | null, amountFen: bigint): Promise<void> {
  if (contract_id === null) return;
  await trx
    .updateTable(contracts)
    .set({ balance_fen: sql`balance_fen - ${String(amountFen)}` })
    .where('contract_id', '=', contract_id)
    .execute();
}

/** How much was allocated, in fen, and whether income still waits while a contract has money. */
interface Portion {
  readonly allocatedFen: bigint;
  readonly more: boolean;
}

/** So many rows take well under a second, and the account is locked no longer than that. */
const portionRowsMax = 500;

/**
 * Lets contracts of the owner, whose account the caller has locked, pay for charges that none covered before, in the
 * order of the charges: one portion of them. If there is more to allocate the account says so, and every further
 * portion is a transaction of its own. A charge that was reversed does not wait any more.
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

/** Owners whose waiting income was not allocated in one portion, the one that has waited longest first. */
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

/** Moves amounts from rows that wait to contracts, which may have paid a part of the same charge before. */
async function transfer(trx: Trx, user_id: string, shares: readonly Share[]): Promise<void> {
  for (const [contract_id, own] of Map.groupBy(shares, (share) => share.contract_id))
    await takeFrom(trx, contract_id, sumOf(own));
  await trx
    .insertInto(income)
    .values(
      shares.map(({ waiting: { payment_id }, contract_id, amount_fen }) => ({
        ...{ payment_id, contract_id, user_id, amount_fen: String(amount_fen) },
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

async function waitingOf(trx: Trx, user_id: string, limit: number): Promise<Waiting[]> {
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
