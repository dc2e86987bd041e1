import { rowsOf, run } from './databases.ts';

interface Charged {
  readonly id: string;
  readonly userId?: string;
  readonly amountFen?: number;
  readonly state?: string;
  readonly callLogId?: string | null;
  readonly at?: string;
}

export const owner = '7001';
export const day = '2026-11-20';

/** A row of the payment log as call/charge-call leaves it: sent `at`, a second after it began, and answered later. */
export async function payment({
  id,
  userId = owner,
  amountFen = 4_000,
  state = 'charged',
  callLogId = id,
  at = `${day} 10:00:00`,
}: Charged): Promise<void> {
  await run(
    `insert into user_prop_db.sublessor_call_payment_log_201409
      (id, call_log_id, user_id, amount_fen, state, created_at, updated_at, sent_at)
     values (?, ?, ?, ?, ?, ? - interval 1 second, ? + interval 90 second, ?)`,
    [id, callLogId, userId, amountFen, state, at, at, at],
  );
}

/** A call as call/filter-call leaves it, valid unless another rule is named. */
export async function callLog(id: string, rule: number | null = 1): Promise<void> {
  await run(
    `insert into user_prop_db.sublessor_call_log_201409
      (id, call_id, user_id, caller, callee, status, started_at, duration, filter_rule, created_at,
       caller_digits, decided_at)
     values (?, ?, ?, '13900000001', '4008001234', 1, ?, 60, ?, ?, '13900000001', ?)`,
    [id, `call-${id}`, owner, `${day} 09:58:00`, rule, `${day} 10:00:00`, `${day} 10:00:00`],
  );
}

/** A contract with all its money, as call/post-contract takes it in. */
export async function contract(
  id: string,
  amountFen: number,
  { userId = owner, signedAt = '2026-11-01 10:00:00' } = {},
): Promise<void> {
  await run(
    `insert into user_prop_db.sublessor_contract
      (contract_id, contract_no, user_id, customer, amount_fen, balance_fen, signed_at)
     values (?, ?, ?, '客户', ?, ?, ?)`,
    [id, `C-${id}`, userId, amountFen, amountFen, signedAt],
  );
  await run(
    `insert into user_prop_db.sublessor_contract_posting (contract_id, contract_no, amount_fen, created_at)
     values (?, ?, ?, ?)`,
    [id, `C-${id}`, amountFen, `${day} 00:00:00`],
  );
}

/** `[payment, contract, fen]` of all income, in the order of payments and contracts. */
export async function income(): Promise<unknown[][]> {
  const rows = await rowsOf(
    `select payment_id, contract_id, amount_fen from user_prop_db.sublessor_accounting_income_201409
     order by payment_id, contract_id is null, contract_id`,
  );
  return rows.map((row) => [row['payment_id'], row['contract_id'], Number(row['amount_fen'])]);
}

/** Balances of all contracts, in the order of their ids. */
export async function balances(): Promise<number[]> {
  const rows = await rowsOf(
    'select balance_fen from user_prop_db.sublessor_contract order by contract_id',
  );
  return rows.map((row) => Number(row['balance_fen']));
}
