/** Copies the contracts of the old system, with their balances. */
import { type Kysely, sql } from 'kysely';
import { allocateLater, lockAccount } from '../accounting/owner-accounts.ts';
import type { AccountingTables } from '../accounting-tables.ts';
import { OldContract } from './history-rows.ts';
import {
  type Copy,
  differingFields,
  inOurCollation,
  oldTable,
  ourTables,
  readRows,
  type Trx,
  type Unusable,
} from './history-tables.ts';

const postings = 'user_prop_db.sublessor_contract_posting';
const identity = ['contract_no', 'user_id', 'amount_fen'] as const;

/**
 * Inserts new contracts as posted to K3. An existing contract gets only a new balance, less what the old system has
 * taken out of it since the last import: see `balancesOf`.
 */
export const copyContracts: Copy = async (trx, page, { schema }) => {
  const { usable, odd } = readRows(OldContract, page);
  if (!usable.length) return { copied: 0, unusable: odd };
  const { known, added, unusable } = await classify(trx, usable);
  const rows = [...known, ...added];
  const balances = await lockedBalances(trx, schema, rows);
  let copied = 0;
  for (const row of known) {
    const balance = balances.get(row.key);
    if (balance?.is === 'other') unusable.push({ id: row.key, why: balanceMismatch(balance.fen) });
    if (balance?.is !== 'lagging') continue;
    await trx
      .updateTable(ourTables.contracts)
      .set({ balance_fen: balance.fen })
      .where('contract_id', '=', row.key)
      .execute();
    copied += 1;
  }
  const paying = added.filter(({ key }) => {
    const fen = balances.get(key)?.fen ?? '0';
    if (BigInt(fen) >= 0n) return true;
    unusable.push({ id: key, why: balanceMismatch(fen) });
    return false;
  });
  if (paying.length) await insert(trx, paying, balances);
  return { copied: copied + paying.length, unusable: [...odd, ...unusable] };
};

const balanceMismatch = (fen: string) =>
  `balance_fen: Expected ${fen}, by the income that is posted here and in the copy`;

/** Splits the rows into known contracts, new contracts, and rows that conflict with another contract. */
async function classify(trx: Trx, rows: readonly OldContract[]) {
  const here = await trx
    .selectFrom(ourTables.contracts)
    .select(['contract_id', ...identity])
    .where(({ eb, or }) => {
      const numbers = rows.map(({ contract_no }) => contract_no);
      return or([eb('contract_id', 'in', rows.map(keyOf)), eb('contract_no', 'in', numbers)]);
    })
    .execute();
  const byId = new Map(here.map((row) => [row.contract_id, row]));
  const idOfNumber = new Map(here.map((row) => [row.contract_no, row.contract_id]));
  const known: OldContract[] = [];
  const added = new Map<string, OldContract>();
  const unusable: Unusable[] = [];
  for (const row of rows) {
    const same = byId.get(row.key);
    const other = idOfNumber.get(row.contract_no);
    const why = same
      ? differingFields(row, same, identity)
      : other !== undefined
        ? `contract_no: that of contract ${other}`
        : undefined;
    if (why) unusable.push({ id: row.key, why });
    else if (same) known.push(row);
    else {
      added.set(row.key, row);
      idOfNumber.set(row.contract_no, row.key);
    }
  }
  return { known, added: [...added.values()], unusable };
}

const keyOf = ({ key }: { readonly key: string }) => key;

async function insert(
  trx: Trx,
  rows: readonly OldContract[],
  balances: ReadonlyMap<string, Balance>,
): Promise<void> {
  await trx
    .insertInto(ourTables.contracts)
    .values(
      rows.map(({ key: contract_id, amount_fen, balance_fen, ...row }) => ({
        ...row,
        contract_id,
        status: 'posted' as const,
        amount_fen: String(amount_fen),
        balance_fen: balances.get(contract_id)?.fen ?? String(balance_fen),
      })),
    )
    .execute();
  await trx
    .insertInto(postings)
    .ignore()
    .values(
      rows.map(({ key: contract_id, contract_no, amount_fen }) => ({
        contract_id,
        contract_no,
        amount_fen: String(amount_fen),
      })),
    )
    .execute();
}

interface Balance {
  /** The balance that our contract must have. */
  readonly fen: string;
  /** `lagging`: the difference is income of the old system whose charges are not copied yet. */
  readonly is: 'new' | 'same' | 'lagging' | 'other';
}

/** Computes the balances of contracts, and locks the accounts of owners whose balance differs from the copy. */
async function lockedBalances(trx: Trx, schema: string, rows: readonly OldContract[]) {
  const first = await balancesOf(trx, schema, rows.map(keyOf));
  const moved = rows.filter(({ key, balance_fen }) => {
    const balance = first.get(key);
    return (
      balance?.is === 'lagging' || (balance?.is === 'new' && balance.fen !== String(balance_fen))
    );
  });
  if (!moved.length) return first;
  const owners = new Set(moved.map(({ user_id }) => user_id));
  for (const owner of [...owners].toSorted()) await lockAccount(trx, owner);
  // In the old system a new contract may have paid income that is unallocated here.
  const isNew = ({ key }: OldContract) => first.get(key)?.is === 'new';
  await allocateLater(
    trx,
    moved.filter(isNew).map(({ user_id }) => user_id),
  );
  return await balancesOf(trx, schema, rows.map(keyOf));
}

const incomeOf = (table: ReturnType<typeof sql.table>, condition = sql``) => sql`(
  select contract_id, sum(amount_fen) fen from ${table} posted ${condition} group by contract_id)`;

/**
 * Computes the balance that each contract of the copy must have in our table. The copy's balance already excludes all
 * income of the copy. For payments that exist here, or have income here, our own income counts instead, because another
 * contract may have paid it: the balance is the copy's balance plus the copy's income of those payments, less our
 * income. Copying a payment with its income does not change it.
 */
const expectedBalances = (schema: string) => {
  const isHere = sql`where exists
      (select 1 from ${sql.table(ourTables.payments)} here where here.id = posted.payment_id)
    or exists
      (select 1 from ${sql.table(ourTables.income)} here where here.payment_id = posted.payment_id)`;
  return sql`(select old.contract_id id, old.contract_no, old.user_id, old.amount_fen,
      cast(old.balance_fen + coalesce(there_too.fen, 0) - coalesce(allocated.fen, 0) as signed) fen,
      cast(old.balance_fen + coalesce(there.fen, 0) - coalesce(allocated.fen, 0) as signed) total_fen
    from ${oldTable(schema, 'contracts')} old
    left join ${incomeOf(oldTable(schema, 'income'))} there on there.contract_id = old.contract_id
    left join ${incomeOf(oldTable(schema, 'income'), isHere)} there_too
      on there_too.contract_id = old.contract_id
    left join ${incomeOf(sql.table(ourTables.income))} allocated
      on allocated.contract_id = old.contract_id)`;
};

async function balancesOf(
  trx: Trx,
  schema: string,
  ids: readonly string[],
): Promise<ReadonlyMap<string, Balance>> {
  if (!ids.length) return new Map();
  const { rows } = await sql<{ id: string } & Balance>`select old.id, old.fen, case
      when ours.contract_id is null then 'new' when ours.balance_fen = old.fen then 'same'
      when ours.balance_fen = old.total_fen and old.fen >= 0 then 'lagging' else 'other' end \`is\`
    from ${expectedBalances(schema)} old
    left join ${sql.table(ourTables.contracts)} ours on ours.contract_id = old.id
    where old.id in (${sql.join(ids)})`.execute(trx);
  return new Map(rows.map(({ id, fen, is }) => [String(id), { fen: String(fen), is }]));
}

/** Returns contracts that differ from the copy, or whose balance is not the expected balance. */
export async function contractsThatDiffer(
  mysql: Kysely<AccountingTables>,
  schema: string,
): Promise<ReadonlySet<string>> {
  const { rows } = await sql<{ id: string }>`select ours.contract_id id
    from ${sql.table(ourTables.contracts)} ours left join ${expectedBalances(schema)} old on old.id = ours.contract_id
    where not (ours.contract_no <=> ${inOurCollation('old.contract_no')} and ours.user_id <=> old.user_id
      and ours.amount_fen <=> old.amount_fen and ours.balance_fen <=> old.fen)`.execute(mysql);
  return new Set(rows.map(({ id }) => id));
}
