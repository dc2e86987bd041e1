/** The functions that copy one page of each table of the old system. */
import { sql } from 'kysely';
import { digitsOf } from '../phone-numbers.ts';
import { copyContracts } from './history-contracts.ts';
import { copyPayments } from './history-payments.ts';
import { OldCall, OldIncome } from './history-rows.ts';
import {
  type Copy,
  differingFields,
  ourTables,
  type Part,
  readRows,
  type Trx,
  type Unusable,
} from './history-tables.ts';

/**
 * Copies calls with their decisions. The old system's decision wins, even over a different decision of ours. A call
 * keeps its id unless one of our calls has it. If several rows have one name, the first row counts.
 */
const copyCalls: Copy = async (trx, rows, { firstOfName }) => {
  const { usable, odd } = readRows(OldCall, rows);
  if (!usable.length) return { copied: 0, unusable: odd };
  const unusable = [...odd];
  const page = firstRows(usable, firstOfName, unusable);
  if (!page.length) return { copied: 0, unusable };
  const known = await trx
    .selectFrom(ourTables.calls)
    .select(['id', 'call_id', 'user_id'])
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
  const usedIds = new Set(known.map(({ id }) => id));
  const here = new Map(known.map((row) => [row.call_id, row]));
  let copied = 0;
  for (const row of page) {
    const same = here.get(row.call_id);
    if (!same) continue;
    const why = differingFields(row, same, ['user_id']);
    if (why) unusable.push({ id: row.key, why });
    else copied += await overwriteDecision(trx, row);
  }
  const absent = page.filter(({ call_id }) => !here.has(call_id));
  const free = absent
    .filter(({ key }) => !usedIds.has(key))
    .map((row) => ({ id: row.key, ...callOf(row) }));
  // Inserted last, because a new id could otherwise equal an id that another row keeps.
  const others = absent.filter(({ key }) => usedIds.has(key)).map(callOf);
  if (free.length) await trx.insertInto(ourTables.calls).values(free).execute();
  if (others.length) await trx.insertInto(ourTables.calls).values(others).execute();
  return { copied: copied + absent.length, unusable };
};

/** Returns the first row of each name in the copy, and adds the others to `unusable`. */
function firstRows(
  rows: readonly OldCall[],
  firstOfName: ReadonlyMap<string, string>,
  unusable: Unusable[],
): OldCall[] {
  const seen = new Set<string>();
  return rows.filter(({ key, call_id }) => {
    const first = firstOfName.get(call_id);
    const isFirst = (first ?? key) === key && !seen.has(call_id);
    if (isFirst) seen.add(call_id);
    else unusable.push({ id: key, why: `call_id: that of row ${first ?? key}` });
    return isFirst;
  });
}

async function overwriteDecision(trx: Trx, row: OldCall): Promise<number> {
  const { filter_rule, decided_at, decision } = callOf(row);
  const { numUpdatedRows } = await trx
    .updateTable(ourTables.calls)
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

/** Reports income without a payment in the copy. All other income is copied with its payment. */
const reportIncome: Copy = async (_, page) => {
  const { usable, odd } = readRows(OldIncome, page);
  const why = 'payment_id: the payment is not in the copy';
  return { copied: 0, unusable: [...odd, ...usable.map(({ key: id }) => ({ id, why }))] };
};

/** Copies a page with its ids: rows that exist here are skipped, rows that cannot be stored are reported. */
export const copyByTable: Readonly<Record<Part, Copy>> = {
  calls: copyCalls,
  contracts: copyContracts,
  income: reportIncome,
  payments: copyPayments,
};
