/** The tables of the old system and ours, and how their rows are compared. */
import { sql, type Transaction } from 'kysely';
import type * as z from 'zod';
import { issuesOf } from '../../platform/issues.ts';
import type { AccountingTables } from '../accounting-tables.ts';
import type { historyParts } from '../inputs.ts';
import type { OldRow } from './history-rows.ts';

export type Part = (typeof historyParts)[number];

export type Trx = Transaction<AccountingTables>;

/** A row that is not copied, and the reason. */
export interface Unusable {
  readonly id: string;
  readonly why: string;
  /** The table of the row if it is not the table of the page. */
  readonly part?: Part;
}

interface Copied {
  /** The number of new and changed rows. */
  readonly copied: number;
  readonly unusable: readonly Unusable[];
}

/** The context of a copy, besides the page. */
export interface History {
  readonly schema: string;
  /** The id of the first row, for names that several calls have. */
  readonly firstOfName: ReadonlyMap<string, string>;
  /** Contracts that differ from the copy: no income is booked on them. */
  readonly otherContracts: ReadonlySet<string>;
}

export type Copy = (trx: Trx, page: readonly OldRow[], history: History) => Promise<Copied>;

/** Our table for each part of the history. */
export const ourTables = {
  calls: 'user_prop_db.sublessor_call_log_201409',
  contracts: 'user_prop_db.sublessor_contract',
  income: 'user_prop_db.sublessor_accounting_income_201409',
  payments: 'user_prop_db.sublessor_call_payment_log_201409',
} as const;

export const oldTables: Readonly<Record<Part, { readonly name: string; readonly key: string }>> = {
  calls: { name: 'sublessor_call_log_201409', key: 'id' },
  contracts: { name: 'sublessor_contract', key: 'contract_id' },
  income: { name: 'sublessor_accounting_income_201409', key: 'id' },
  payments: { name: 'sublessor_call_payment_log_201409', key: 'id' },
};

export const oldTable = (schema: string, part: Part) =>
  sql.table(`${schema}.${oldTables[part].name}`);

/** Converts a column of the copy, which may have any character set, to our collation, which compares bytes. */
export const inOurCollation = (column: string) =>
  sql.raw(`convert(${column} using utf8mb4) collate utf8mb4_0900_bin`);

/** Validates rows. Returns those that do not fit the schema with the reason. */
export function readRows<Row>(schema: z.ZodType<Row>, page: readonly OldRow[]) {
  const usable: Row[] = [];
  const odd: Unusable[] = [];
  for (const row of page) {
    const read = schema.safeParse(row);
    if (read.success) usable.push(read.data);
    else odd.push({ id: row.key, why: issuesOf(read.error) });
  }
  return { usable, odd };
}

/** Returns the fields in which a row differs from ours, as the reason to skip it; undefined if they are equal. */
export function differingFields<Field extends string>(
  row: Readonly<Record<Field, unknown>>,
  here: Readonly<Record<Field, unknown>>,
  fields: readonly Field[],
): string | undefined {
  const differing = fields.filter((field) => textOf(row[field]) !== textOf(here[field]));
  return differing.length ? `${otherRowMessage}: ${differing.join(', ')}` : undefined;
}

export const otherRowMessage = 'a different row exists here';

const textOf = (value: unknown) => (value === null ? null : String(value));
