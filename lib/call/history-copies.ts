import { sql, type Transaction } from 'kysely';
import type { AccountingTables } from './accounting-tables.ts';
import type { historyParts } from './inputs.ts';
import { digitsOf } from './phones.ts';

export type Part = (typeof historyParts)[number];

type Trx = Transaction<AccountingTables>;

/** A row of the old system; `key` is its id. */
export interface OldRow extends Readonly<Record<string, string | number | null>> {
  readonly key: string;
}

type Copy = (trx: Trx, page: readonly OldRow[]) => Promise<number>;

const calls = 'user_prop_db.sublessor_call_log_201409';
const payments = 'user_prop_db.sublessor_call_payment_log_201409';
const income = 'user_prop_db.sublessor_accounting_income_201409';
const contracts = 'user_prop_db.sublessor_contract';
const postings = 'user_prop_db.sublessor_contract_posting';

const text = (value: string | number | null | undefined) => String(value ?? '');
const orNull = (value: string | number | null | undefined) =>
  value == null ? null : String(value);

/**
 * What the old system decided stands, also where we have decided the call ourselves, and otherwise. A call
 * keeps its id unless one of ours has it.
 */
const copyCalls: Copy = async (trx, page) => {
  const known = await trx
    .selectFrom(calls)
    .select(['id', 'call_id'])
    .where(({ eb, or }) =>
      or([
        eb(
          'id',
          'in',
          page.map(({ key }) => key),
        ),
        eb(
          'call_id',
          'in',
          page.map((row) => text(row['call_id'])),
        ),
      ]),
    )
    .execute();
  const taken = new Set(known.map(({ id }) => id));
  const here = new Set(known.map(({ call_id }) => call_id));
  let copied = 0;
  for (const row of page.filter((one) => here.has(text(one['call_id']))))
    copied += await decideAsOld(trx, row);
  const absent = page.filter((one) => !here.has(text(one['call_id'])));
  const free = absent
    .filter(({ key }) => !taken.has(key))
    .map((row) => ({ id: row.key, ...callOf(row) }));
  // After those that keep their ids: else a new one could be an id that is still to come.
  const others = absent.filter(({ key }) => taken.has(key)).map(callOf);
  if (free.length) await trx.insertInto(calls).values(free).execute();
  if (others.length) await trx.insertInto(calls).values(others).execute();
  return copied + absent.length;
};

async function decideAsOld(trx: Trx, row: OldRow): Promise<number> {
  const { filter_rule, decided_at, decision } = callOf(row);
  const { numUpdatedRows } = await trx
    .updateTable(calls)
    .set({ filter_rule, decided_at, decision })
    .where('call_id', '=', text(row['call_id']))
    .where(sql<boolean>`not filter_rule <=> ${filter_rule}`)
    .executeTakeFirst();
  return Number(numUpdatedRows);
}

const callOf = (row: OldRow) => ({
  call_id: text(row['call_id']),
  user_id: text(row['user_id']),
  caller: text(row['caller']),
  callee: text(row['callee']),
  status: Number(row['status']),
  started_at: text(row['started_at']),
  duration: Number(row['duration']),
  call_type: Number(row['call_type'] ?? 1),
  created_at: text(row['created_at']),
  caller_digits: digitsOf(text(row['caller'])),
  filter_rule: Number(row['filter_rule']),
  decided_at: text(row['created_at']),
  decision: JSON.stringify({ imported: true }),
});

/** Contracts come with what the old system has left of them, and as what it has posted. */
const copyContracts: Copy = async (trx, page) => {
  const inserted = await trx
    .insertInto(contracts)
    .ignore()
    .values(
      page.map((row) => ({
        contract_id: row.key,
        contract_no: text(row['contract_no']),
        user_id: text(row['user_id']),
        customer: text(row['customer']),
        amount_fen: text(row['amount_fen']),
        balance_fen: text(row['balance_fen']),
        signed_at: text(row['signed_at']),
        status: 'posted' as const,
      })),
    )
    .executeTakeFirst();
  await trx
    .insertInto(postings)
    .ignore()
    .values(
      page.map((row) => ({
        contract_id: row.key,
        contract_no: text(row['contract_no']),
        amount_fen: text(row['amount_fen']),
      })),
    )
    .execute();
  return Number(inserted.numInsertedOrUpdatedRows ?? 0n);
};

/**
 * Income comes before its payment. Where the payment is here its income has been, too, and may be other rows by now: a
 * contract that came later has paid what waited. It is left as it is, or it would count twice.
 */
const copyIncome: Copy = async (trx, page) => {
  const here = await trx
    .selectFrom(payments)
    .select('id')
    .where(
      'id',
      'in',
      page.map((row) => text(row['payment_id'])),
    )
    .execute();
  const known = new Set(here.map(({ id }) => id));
  const rows = page.filter((row) => !known.has(text(row['payment_id'])));
  if (!rows.length) return 0;
  const { numInsertedOrUpdatedRows = 0n } = await trx
    .insertInto(income)
    .ignore()
    .values(
      rows.map((row) => ({
        id: row.key,
        payment_id: text(row['payment_id']),
        contract_id: orNull(row['contract_id']),
        user_id: text(row['user_id']),
        amount_fen: text(row['amount_fen']),
        created_at: text(row['created_at']),
      })),
    )
    .executeTakeFirst();
  return Number(numInsertedOrUpdatedRows);
};

const copyPayments: Copy = async (trx, page) => {
  const names = page.map((row) => text(row['call_id']));
  const found = await trx
    .selectFrom(calls)
    .select(['id', 'call_id'])
    .where('call_id', 'in', names)
    .execute();
  const idOf = new Map(found.map(({ id, call_id }) => [call_id, id]));
  const { numInsertedOrUpdatedRows = 0n } = await trx
    .insertInto(payments)
    .ignore()
    .values(
      page.map((row) => ({
        id: row.key,
        call_log_id: idOf.get(text(row['call_id'])) ?? orNull(row['call_log_id']),
        reverses_id: orNull(row['reverses_id']),
        user_id: text(row['user_id']),
        amount_fen: Number(row['amount_fen']),
        call_type: Number(row['call_type'] ?? 1),
        state: text(row['state']) === 'charged' ? ('charged' as const) : ('refused' as const),
        balance_fen: row['balance_fen'] == null ? null : Number(row['balance_fen']),
        reason: orNull(row['reason']),
        created_at: text(row['created_at']),
        updated_at: text(row['updated_at']),
      })),
    )
    .executeTakeFirst();
  return Number(numInsertedOrUpdatedRows);
};

/** Where each part of the history stands here. */
export const ours = { calls, contracts, income, payments } as const;

/** Copies a page, ids and all, and says how many rows are new or changed; a row that is here is passed over. */
export const copies: Readonly<Record<Part, Copy>> = {
  calls: copyCalls,
  contracts: copyContracts,
  income: copyIncome,
  payments: copyPayments,
};
