import { sql, type Transaction } from 'kysely';
import type { AccountingTables } from './accounting-tables.ts';
import { allocated, type Part } from './allocation.ts';

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

/**
 * Posts a charge, or the reversal of one, to the owner's contracts, whose account the caller has locked: income and
 * balances together. False where it was posted before.
 */
export async function post(trx: Trx, payment: Payment): Promise<boolean> {
  if ((await incomeOf(trx, payment.id)).length) return false;
  if (payment.reverses_id === null) await postCharge(trx, payment);
  else await postReversal(trx, payment, payment.reverses_id);
  return true;
}

async function postCharge(trx: Trx, { id, user_id, amount_fen }: Payment): Promise<void> {
  const parts = allocated(BigInt(amount_fen), await fundsOf(trx, user_id));
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
  await post(trx, charge);
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

/**
 * Lets contracts of the owner, whose account the caller has locked, pay for charges that none covered before, in the
 * order of the charges. Returns how much, in fen. A charge that was reversed does not wait any more.
 */
export async function allocateWaiting(trx: Trx, user_id: string): Promise<bigint> {
  let sum = 0n;
  let funds = await fundsOf(trx, user_id);
  for (const waiting of funds.length ? await waitingOf(trx, user_id) : []) {
    if (!funds.length) break;
    for (const part of allocated(BigInt(waiting.amount_fen), funds)) {
      if (part.contract_id === null) continue;
      await move(trx, waiting, user_id, { ...part, contract_id: part.contract_id });
      sum += part.amount_fen;
    }
    funds = await fundsOf(trx, user_id);
  }
  return sum;
}

interface Waiting {
  readonly id: string;
  readonly payment_id: string;
}

/** Moves an amount from the row that waits to a contract, which may have paid a part of the same charge before. */
async function move(
  trx: Trx,
  { id, payment_id }: Waiting,
  user_id: string,
  { contract_id, amount_fen }: Part & { readonly contract_id: string },
): Promise<void> {
  const amount = String(amount_fen);
  await takeFrom(trx, contract_id, amount_fen);
  await trx
    .insertInto(income)
    .values({ payment_id, contract_id, user_id, amount_fen: amount })
    .onDuplicateKeyUpdate({ amount_fen: sql`amount_fen + ${amount}` })
    .execute();
  await trx
    .updateTable(income)
    .set({ amount_fen: sql`amount_fen - ${amount}` })
    .where('id', '=', id)
    .execute();
  await trx.deleteFrom(income).where('id', '=', id).where('amount_fen', '=', '0').execute();
}

const waitingOf = (trx: Trx, user_id: string) =>
  trx
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
    .execute();
