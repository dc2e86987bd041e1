import { sql, type Transaction } from 'kysely';
import type * as z from 'zod';
import { issuesOf } from '../platform/config.ts';
import type { AccountingTables } from './accounting-tables.ts';
import { OldCall, OldContract, OldIncome, OldPayment, type OldRow } from './history-rows.ts';
import type { historyParts } from './inputs.ts';
import { digitsOf } from './phones.ts';

export type Part = (typeof historyParts)[number];

type Trx = Transaction<AccountingTables>;

/** A row that is left out, and why. */
export interface Unusable {
  readonly id: string;
  readonly why: string;
}

interface Copied {
  /** Rows that are new or changed. */
  readonly copied: number;
  readonly unusable: readonly Unusable[];
}

/** What a copy must know besides the page. */
export interface History {
  /** Payments whose income is not here as the old system has it. */
  readonly withoutIncome: ReadonlySet<string>;
}

type Copy<Row> = (trx: Trx, rows: readonly Row[], history: History) => Promise<Copied>;

const calls = 'user_prop_db.sublessor_call_log_201409';
const payments = 'user_prop_db.sublessor_call_payment_log_201409';
const income = 'user_prop_db.sublessor_accounting_income_201409';
const contracts = 'user_prop_db.sublessor_contract';
const postings = 'user_prop_db.sublessor_contract_posting';

interface Inserted {
  readonly numInsertedOrUpdatedRows?: bigint | undefined;
}

/** What an insert that passes over duplicates has copied; a row in whose place another one is here is named. */
async function count(
  trx: Trx,
  { numInsertedOrUpdatedRows = 0n }: Inserted,
  [table, key]: readonly [string, string],
  ids: readonly string[],
): Promise<Copied> {
  const { rows } = await sql<{ id: string }>`select ${sql.ref(key)} id from ${sql.table(table)}
    where ${sql.ref(key)} in (${sql.join(ids)})`.execute(trx);
  const here = new Set(rows.map(({ id }) => id));
  const absent = ids.filter((id) => !here.has(id));
  const why = 'another row is here in its place';
  return {
    copied: Number(numInsertedOrUpdatedRows),
    unusable: absent.map((id) => ({ id, why })),
  };
}

const keysOf = (rows: readonly { readonly key: string }[]) => rows.map(({ key }) => key);

/**
 * What the old system decided stands, also where we have decided the call ourselves, and otherwise. A call
 * keeps its id unless one of ours has it.
 */
const copyCalls: Copy<OldCall> = async (trx, page) => {
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
          page.map(({ call_id }) => call_id),
        ),
      ]),
    )
    .execute();
  const taken = new Set(known.map(({ id }) => id));
  const here = new Set(known.map(({ call_id }) => call_id));
  let copied = 0;
  for (const row of page.filter(({ call_id }) => here.has(call_id)))
    copied += await decideAsOld(trx, row);
  const absent = new Map<string, OldCall>();
  const unusable: Unusable[] = [];
  for (const row of page.filter(({ call_id }) => !here.has(call_id))) {
    const first = absent.get(row.call_id);
    if (first) unusable.push({ id: row.key, why: `call_id: that of row ${first.key}` });
    else absent.set(row.call_id, row);
  }
  const free = [...absent.values()]
    .filter(({ key }) => !taken.has(key))
    .map((row) => ({ id: row.key, ...callOf(row) }));
  // After those that keep their ids: else a new one could be an id that is still to come.
  const others = [...absent.values()].filter(({ key }) => taken.has(key)).map(callOf);
  if (free.length) await trx.insertInto(calls).values(free).execute();
  if (others.length) await trx.insertInto(calls).values(others).execute();
  return { copied: copied + absent.size, unusable };
};

async function decideAsOld(trx: Trx, row: OldCall): Promise<number> {
  const { filter_rule, decided_at, decision } = callOf(row);
  const { numUpdatedRows } = await trx
    .updateTable(calls)
    .set({ filter_rule, decided_at, decision })
    .where('call_id', '=', row.call_id)
    .where(sql<boolean>`not filter_rule <=> ${filter_rule}`)
    .executeTakeFirst();
  return Number(numUpdatedRows);
}

const callOf = ({ key: _, ...row }: OldCall) => ({
  ...row,
  caller_digits: digitsOf(row.caller),
  decided_at: row.created_at,
  decision: JSON.stringify({ imported: true }),
});

/** Contracts come with what the old system has left of them, and as what it has posted. */
const copyContracts: Copy<OldContract> = async (trx, page) => {
  const inserted = await trx
    .insertInto(contracts)
    .ignore()
    .values(
      page.map(({ key: contract_id, amount_fen, balance_fen, ...row }) => ({
        ...{ contract_id, ...row, status: 'posted' as const },
        ...{ amount_fen: String(amount_fen), balance_fen: String(balance_fen) },
      })),
    )
    .executeTakeFirst();
  await trx
    .insertInto(postings)
    .ignore()
    .values(
      page.map(({ key: contract_id, contract_no, amount_fen }) => ({
        ...{ contract_id, contract_no, amount_fen: String(amount_fen) },
      })),
    )
    .execute();
  return await count(trx, inserted, [contracts, 'contract_id'], keysOf(page));
};

/**
 * Income comes before its payment. Where the payment is here its income has been, too, and may be other rows by now: a
 * contract that came later has paid what waited. It is left as it is, or it would count twice.
 */
const copyIncome: Copy<OldIncome> = async (trx, page) => {
  const here = await trx
    .selectFrom(payments)
    .select('id')
    .where(
      'id',
      'in',
      page.map(({ payment_id }) => payment_id),
    )
    .execute();
  const known = new Set(here.map(({ id }) => id));
  const rows = page.filter(({ payment_id }) => !known.has(payment_id));
  if (!rows.length) return { copied: 0, unusable: [] };
  const inserted = await trx
    .insertInto(income)
    .ignore()
    .values(
      rows.map(({ key: id, amount_fen, ...row }) => ({
        ...{ id, ...row, amount_fen: String(amount_fen) },
      })),
    )
    .executeTakeFirst();
  return await count(trx, inserted, [income, 'id'], keysOf(rows));
};

/**
 * A charge without its income would be posted again by us, and one without its call would leave the call to be charged
 * again: neither is copied.
 */
const copyPayments: Copy<OldPayment> = async (trx, page, { withoutIncome }) => {
  const names = page.flatMap(({ call_id }) => call_id ?? []);
  const found = names.length
    ? await trx.selectFrom(calls).select(['id', 'call_id']).where('call_id', 'in', names).execute()
    : [];
  const idOf = new Map(found.map(({ id, call_id }) => [call_id, id]));
  const unusable = page.flatMap(({ key: id, call_id }) => {
    if (call_id !== null && !idOf.has(call_id)) return { id, why: 'call_id: the call is not here' };
    return withoutIncome.has(id) ? { id, why: 'its income is not here as it was' } : [];
  });
  const left = new Set(unusable.map(({ id }) => id));
  const rows = page
    .filter(({ key }) => !left.has(key))
    .map(({ key: id, call_id, call_log_id, ...row }) => ({
      ...{ id, ...row, call_log_id: idOf.get(call_id ?? '') ?? call_log_id },
    }));
  if (!rows.length) return { copied: 0, unusable };
  const inserted = await trx.insertInto(payments).ignore().values(rows).executeTakeFirst();
  const ids = rows.map(({ id }) => id);
  const copy = await count(trx, inserted, [payments, 'id'], ids);
  return { ...copy, unusable: [...unusable, ...copy.unusable] };
};

/** Where each part of the history stands here. */
export const ours = { calls, contracts, income, payments } as const;

const part =
  <Row extends { readonly key: string }>(schema: z.ZodType<Row>, copy: Copy<Row>) =>
  async (trx: Trx, page: readonly OldRow[], history: History): Promise<Copied> => {
    const usable: Row[] = [];
    const odd: Unusable[] = [];
    for (const row of page) {
      const read = schema.safeParse(row);
      if (read.success) usable.push(read.data);
      else odd.push({ id: row.key, why: issuesOf(read.error) });
    }
    if (!usable.length) return { copied: 0, unusable: odd };
    const { copied, unusable } = await copy(trx, usable, history);
    return { copied, unusable: [...odd, ...unusable] };
  };

/** Copies a page, ids and all; a row that is here is passed over, one that cannot be here is named. */
export const copies = {
  calls: part(OldCall, copyCalls),
  contracts: part(OldContract, copyContracts),
  income: part(OldIncome, copyIncome),
  payments: part(OldPayment, copyPayments),
} as const;
