/** Copies the payments of the old system, each with its income. */
import { sql } from 'kysely';
import { rememberOpenCharges } from '../accounting/income-cursor.ts';
import { allocateLater } from '../accounting/owner-accounts.ts';
import { OldIncome, OldPayment, type OldRow } from './history-rows.ts';
import {
  type Copy,
  differingFields,
  type History,
  oldTable,
  otherRowMessage,
  ourTables,
  readRows,
  type Trx,
  type Unusable,
} from './history-tables.ts';

/** A payment with the id that its call has in our table. */
type Payment = Omit<OldPayment, 'call_id' | 'key'> & { readonly id: string };

const identity = [
  'user_id',
  'amount_fen',
  'state',
  'call_type',
  'call_log_id',
  'reverses_id',
] as const;

/** A payment and its income are copied together or not at all. */
const withoutIncome = 'its income differs from the old system';
const withoutPayment = 'its payment is not copied';

/**
 * Copies charges, each with its income in the same transaction. The income of an existing payment is never copied again,
 * because a contract may have paid unallocated income since. A charge without income is stored as open for
 * call/post-income, whose cursor may have passed it. A charge whose call is missing is not copied, because the call
 * would be charged again.
 */
export const copyPayments: Copy = async (trx, page, history) => {
  if (!page.length) return { copied: 0, unusable: [] };
  const { usable, odd } = readRows(OldPayment, page);
  const { known, added, unusable } = await classify(trx, await withCallIds(trx, usable), page);
  const whyNot = new Map([...odd, ...unusable].map(({ id, why }) => [id, why]));
  const absent = page.map(({ key }) => key).filter((key) => !known.has(key));
  const income = await incomeOf(trx, absent, history);
  for (const { id } of added)
    if (!whyNot.has(id) && income.get(id)?.isUnusable) whyNot.set(id, withoutIncome);
  const leftOut: Unusable[] = [...income].flatMap(([payment, { rows, isUnusable }]) =>
    isUnusable || whyNot.has(payment)
      ? rows.map(({ id, why = withoutPayment }) => ({ part: 'income' as const, id, why }))
      : [],
  );
  const copied = added.filter(({ id }) => !whyNot.has(id));
  const posted = copied.flatMap(({ id }) => income.get(id)?.read ?? []);
  if (copied.length) await insert(trx, copied, posted);
  return {
    copied: copied.length + posted.length,
    unusable: [...leftOut, ...Array.from(whyNot, ([id, why]) => ({ id, why }))],
  };
};

/** Sets the ids that the calls have in our table. Calls are found by name, because their ids may differ. */
async function withCallIds(trx: Trx, rows: readonly OldPayment[]) {
  const names = rows.flatMap(({ call_id }) => call_id ?? []);
  const found = names.length
    ? await trx
        .selectFrom(ourTables.calls)
        .select(['id', 'call_id', 'user_id'])
        .where('call_id', 'in', names)
        .execute()
    : [];
  const calls = new Map(found.map((call) => [call.call_id, call]));
  return rows.map(({ key: id, call_id, call_log_id, ...row }) => {
    const call = calls.get(call_id ?? '');
    const why = call_log_id === null ? undefined : callFault(call_id, row.user_id, call);
    return { row: { id, ...row, call_log_id: call_log_id && (call?.id ?? call_log_id) }, why };
  });
}

function callFault(
  name: string | null,
  owner: string,
  call: { readonly user_id: string } | undefined,
): string | undefined {
  if (name === null) return 'call_log_id: the call is not in the copy, or has no name there';
  if (!call) return 'call_id: the call is not here';
  return call.user_id === owner ? undefined : 'user_id: the call is of another owner';
}

/** Splits the page into known ids, new payments, and payments that conflict with another one. */
async function classify(
  trx: Trx,
  rows: readonly { readonly row: Payment; readonly why: string | undefined }[],
  page: readonly OldRow[],
) {
  const keys = page.map(({ key }) => key);
  const calls = rows.flatMap(({ row }) => row.call_log_id ?? []);
  const reversed = rows.flatMap(({ row }) => row.reverses_id ?? []);
  const here = await trx
    .selectFrom(ourTables.payments)
    .select(['id', ...identity])
    .where(({ eb, or }) =>
      or([
        eb('id', 'in', keys),
        ...(calls.length ? [eb('call_log_id', 'in', calls)] : []),
        ...(reversed.length ? [eb('reverses_id', 'in', reversed)] : []),
      ]),
    )
    .execute();
  const byId = new Map(here.map((row) => [row.id, row]));
  const idOfCall = new Map(here.map((row) => [row.call_log_id, row.id]));
  const idOfReversed = new Map(here.map((row) => [row.reverses_id, row.id]));
  const added = new Map<string, Payment>();
  const unusable: Unusable[] = [];
  for (const { row, why } of rows) {
    const { id, call_log_id, reverses_id } = row;
    const same = byId.get(id);
    const ofCall = call_log_id === null ? undefined : idOfCall.get(call_log_id);
    const ofReversed = reverses_id === null ? undefined : idOfReversed.get(reverses_id);
    const fault = same
      ? differingFields(row, same, identity)
      : (why ??
        (ofCall && `call_log_id: that of payment ${ofCall}`) ??
        (ofReversed && `reverses_id: that of payment ${ofReversed}`));
    if (fault) unusable.push({ id, why: fault });
    else if (added.has(id)) unusable.push({ id, why: 'id: twice in the copy' });
    else if (!same) {
      added.set(id, row);
      idOfCall.set(call_log_id, id);
      idOfReversed.set(reverses_id, id);
    }
  }
  return { known: new Set(byId.keys()), added: [...added.values()], unusable };
}

interface Posted {
  readonly read: readonly OldIncome[];
  readonly rows: readonly { readonly id: string; readonly why?: string }[];
  readonly isUnusable: boolean;
}

/** Reads the copy's income of payments that do not exist here, by payment. */
async function incomeOf(
  trx: Trx,
  payments: readonly string[],
  { schema, otherContracts }: History,
): Promise<ReadonlyMap<string, Posted>> {
  if (!payments.length) return new Map();
  const { rows } = await sql<OldRow>`select row_of_it.*, row_of_it.id \`key\`
    from ${oldTable(schema, 'income')} row_of_it where payment_id in (${sql.join(payments)})
    order by payment_id, id`.execute(trx);
  const fenHere = await postedFen(trx, payments);
  const all = Map.groupBy(
    rows.map((row) => ({ ...row, key: String(row.key) })),
    (row) => String((row as OldRow)['payment_id']),
  );
  return new Map(
    Array.from(all, ([payment, own]) => {
      const { usable, odd } = readRows(OldIncome, own);
      const whyNot = new Map(odd.map(({ id, why }) => [id, why]));
      const contracts = new Set<string>();
      for (const { key, contract_id } of usable) {
        if (contract_id === null) continue;
        if (contracts.has(contract_id)) whyNot.set(key, otherRowMessage);
        else if (otherContracts.has(contract_id))
          whyNot.set(key, 'contract_id: the contract differs from the old system');
        contracts.add(contract_id);
      }
      const fen = fenHere.get(payment);
      const isOther = fen !== undefined && fen !== sumOf(usable);
      const named = own.map(({ key: id }) => {
        const why = whyNot.get(id);
        return why === undefined ? { id } : { id, why };
      });
      const read = fen === undefined ? usable : [];
      return [payment, { read, rows: named, isUnusable: isOther || whyNot.size > 0 }];
    }),
  );
}

const sumOf = (income: readonly OldIncome[]): bigint =>
  income.reduce((sum, { amount_fen }) => sum + BigInt(amount_fen), 0n);

/** Sums income that exists here for payments that do not. */
async function postedFen(trx: Trx, payments: readonly string[]) {
  const { rows } = await sql<{ id: string; fen: string }>`select payment_id id, sum(amount_fen) fen
    from ${sql.table(ourTables.income)} where payment_id in (${sql.join(payments)})
    group by payment_id`.execute(trx);
  return new Map(rows.map(({ id, fen }) => [id, BigInt(fen)]));
}

async function insert(
  trx: Trx,
  payments: readonly Payment[],
  income: readonly OldIncome[],
): Promise<void> {
  const isWaiting = ({ contract_id }: OldIncome) => contract_id === null;
  await allocateLater(
    trx,
    income.filter(isWaiting).map(({ user_id }) => user_id),
  );
  await trx.insertInto(ourTables.payments).values(payments).execute();
  await insertIncome(trx, income);
  const posted = new Set(income.map(({ payment_id }) => payment_id));
  const open = payments.filter(({ id, state }) => state === 'charged' && !posted.has(id));
  await rememberOpenCharges(
    trx,
    open.map(({ id }) => id),
  );
}

/** Inserts income, with a new id if another row has its id: no table refers to these ids. */
async function insertIncome(trx: Trx, income: readonly OldIncome[]): Promise<void> {
  if (!income.length) return;
  const ids = income.map(({ key }) => key);
  const here = await trx.selectFrom(ourTables.income).select('id').where('id', 'in', ids).execute();
  const usedIds = new Set(here.map(({ id }) => id));
  const rowOf = ({ key: _, amount_fen, ...row }: OldIncome) => ({
    ...row,
    amount_fen: String(amount_fen),
  });
  const keeping = income.filter(({ key }) => !usedIds.has(key));
  const others = income.filter(({ key }) => usedIds.has(key)).map(rowOf);
  if (keeping.length)
    await trx
      .insertInto(ourTables.income)
      .values(keeping.map((row) => ({ id: row.key, ...rowOf(row) })))
      .execute();
  if (others.length) await trx.insertInto(ourTables.income).values(others).execute();
}
