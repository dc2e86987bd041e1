import { type Kysely, type RawBuilder, sql } from 'kysely';
import { importedIdMax } from '../../platform/ids.ts';
import type { Hand } from '../../platform/lambda/by-hand.ts';
import { inTransaction } from '../../platform/mysql/mysql.ts';
import { audit } from '../../platform/operations/audit.ts';
import type { AccountingTables } from '../accounting-tables.ts';
import { transitions } from '../charge-states.ts';
import type { ImportHistory } from '../inputs.ts';
import type { FirstCallSwitchOff } from '../row-lease.ts';
import type { CallSettings } from '../settings.ts';
import { contractsThatDiffer } from './history-contracts.ts';
import { copies } from './history-copiers.ts';
import type { OldRow } from './history-rows.ts';
import {
  type History,
  inOurCollation,
  oldTable,
  oldTables,
  ourTables,
  type Part,
  type Trx,
  type Unusable,
} from './history-tables.ts';
import { markIdsAsUsed } from './used-ids.ts';

export interface HistoryDeps {
  readonly mysql: Kysely<AccountingTables>;
  readonly settings: () => Promise<Pick<CallSettings, 'history_schema' | 'shadow'>>;
  readonly firstSwitchOff: FirstCallSwitchOff;
}

/** `income` only names rows without a payment: income is copied with its payment. */
const partsOf = { calls: ['calls'], money: ['contracts', 'income', 'payments'] } as const;

const pageRowsMax = 500;
/** With less than this left no further page is begun. */
const pageMs = 10_000;

/**
 * Copies the old system's rows, ids and all, so that numbers go on above the highest of them. A page is one
 * transaction, and a row that is here already is passed over: it may be started again at any time, from the beginning
 * or from where it stopped. A row that our tables cannot hold as it is, or in whose place another one is here, is left
 * out and named; the others are copied.
 */
export async function importHistory(
  { mysql, settings, firstSwitchOff }: HistoryDeps,
  { what, by, why, part, after = '0' }: ImportHistory,
  { remaining, progress }: Pick<Hand, 'remaining' | 'progress'>,
) {
  const { history_schema, shadow } = await settings();
  // Whoever charges meanwhile would charge what the old system has charged.
  if (!shadow && !(await firstSwitchOff('charging')))
    return { outcome: 'charging goes on: stop it first' };
  const open = await openIn(mysql, history_schema, what);
  if (open) return { outcome: 'open in the old system', ...open };
  await inTransaction(mysql, async (trx) => {
    if (!part) await noted(trx, what, by, why, history_schema);
    await useUpIds(trx, history_schema, what);
  });
  const todo: readonly Part[] = partsOf[what];
  let [imported, from] = [0, after];
  const unusable = leftOut();
  for (const next of todo.slice(part ? Math.max(todo.indexOf(part), 0) : 0)) {
    if (from === '0') unusable.note(next, await withoutId(mysql, history_schema, next));
    const history = await historyFor(mysql, history_schema, next);
    for (;;) {
      if (remaining() < pageMs)
        return {
          outcome: 'out of time',
          imported,
          ...unusable.facts(),
          resume: { what, by, why, part: next, after: from },
        };
      const page = await pageOf(mysql, history_schema, next, from);
      const copy = await inTransaction(mysql, (trx) => copies[next](trx, page, history));
      imported += copy.copied;
      unusable.note(next, copy.unusable);
      from = page.at(-1)?.key ?? from;
      progress(imported, undefined, `${next} up to ${from}`);
      if (page.length < pageRowsMax) break;
    }
    from = '0';
  }
  const differing = await differingIn(mysql, history_schema, what);
  return {
    outcome: differing || unusable.count() ? 'imported, and differs' : 'imported',
    what,
    imported,
    ...differing,
    ...unusable.facts(),
  };
}

/** Rows named in an answer. */
const namedMax = 500;

/** Rows that are left out: how many, and which with their reasons. */
function leftOut() {
  let count = 0;
  const named: (Unusable & { readonly part: Part })[] = [];
  return {
    note: (part: Part, rows: readonly Unusable[]): void => {
      count += rows.length;
      named.push(...rows.slice(0, namedMax - named.length).map((row) => ({ part, ...row })));
    },
    count: () => count,
    facts: () => (count ? { unusable: count, named } : {}),
  };
}

const noted = (trx: Trx, what: string, by: string, why: string, schema: string) =>
  audit(trx, { who: by, what: 'call/import-history', why, detail: { what, schema } });

const numberedParts = { calls: ['calls'], money: ['income', 'payments'] } as const;

/** Uses up the highest ids of the copy, whether their rows are copied or not: the payment centre knows each payment. */
async function useUpIds(trx: Trx, schema: string, what: 'calls' | 'money'): Promise<void> {
  for (const part of numberedParts[what]) {
    const { rows } = await sql<{ id: string | null }>`select max(id) id
      from ${oldTable(schema, part)} where id between 1 and ${importedIdMax}`.execute(trx);
    const id = rows[0]?.id ?? null;
    if (id !== null) await markIdsAsUsed(trx, part, String(id));
  }
}

const idOfNothing = 'key: Expected a positive id';

/** Rows before the first page: their ids can be the ids of nothing. */
async function withoutId(
  mysql: Kysely<AccountingTables>,
  schema: string,
  part: Part,
): Promise<Unusable[]> {
  const key = sql.ref(oldTables[part].key);
  const { rows } = await sql<{ id: string }>`select ${key} id from ${rowsOf(schema, part)} row_of_it
    where ${key} < 1 order by ${key} limit ${namedMax}`.execute(mysql);
  return rows.map(({ id }) => ({ id: String(id), why: idOfNothing }));
}

async function historyFor(
  mysql: Kysely<AccountingTables>,
  schema: string,
  part: Part,
): Promise<History> {
  const firstOfName = part === 'calls' ? await firstOfNames(mysql, schema) : new Map();
  const isBooked = part === 'payments';
  const otherContracts = isBooked ? await contractsThatDiffer(mysql, schema) : new Set<string>();
  return { schema, firstOfName, otherContracts };
}

async function firstOfNames(mysql: Kysely<AccountingTables>, schema: string) {
  const { rows } = await sql<{ name: string; first: string }>`
    select ${inOurCollation('call_id')} name, min(id) first from ${oldTable(schema, 'calls')}
    where filter_rule is not null and id > 0 and call_id is not null
    group by name having count(*) > 1`.execute(mysql);
  return new Map(rows.map(({ name, first }) => [name, String(first)]));
}

/** States in which something is still to come; a text that is no state is told by the row that has it. */
const openStates = Object.entries(transitions).flatMap(([state, next]) =>
  next.length ? state : [],
);

/** What the old system has begun and not ended: it has to end it, for nobody else knows how. */
async function openIn(mysql: Kysely<AccountingTables>, schema: string, what: 'calls' | 'money') {
  if (what === 'calls') return undefined;
  const find = async (part: Part, open: RawBuilder<unknown>) => {
    const from = sql`from ${oldTable(schema, part)} where ${open}`;
    const counted = await sql<{ count: string }>`select count(*) count ${from}`.execute(mysql);
    const named = await sql<{ id: string }>`select id ${from} order by id limit ${openNamedMax}`;
    const ids = (await named.execute(mysql)).rows.map(({ id }) => String(id));
    return [Number(counted.rows[0]?.count), ids] as const;
  };
  const [calls, callIds] = await find('calls', sql`filter_rule is null`);
  const [payments, paymentIds] = await find('payments', sql`state in (${sql.join(openStates)})`);
  if (!calls && !payments) return undefined;
  return { calls, payments, open: { calls: callIds, payments: paymentIds } };
}

const openNamedMax = 20;

/** What of it is not here now, or is otherwise, a count for each part; undefined where all is as it was. */
async function differingIn(
  mysql: Kysely<AccountingTables>,
  schema: string,
  what: 'calls' | 'money',
) {
  const differing: Record<string, number> = {};
  const first: Record<string, readonly string[]> = {};
  for (const part of partsOf[what]) {
    const { rows } = await sql<{ count: string }>`select count(*) count
      from ${compared[part](schema)}`.execute(mysql);
    const count = Number(rows[0]?.count);
    if (!count) continue;
    differing[part] = count;
    const id = sql.ref(`old.${part === 'income' ? 'payment_id' : oldTables[part].key}`);
    const named = await sql<{ id: string }>`select ${id} id from ${compared[part](schema)}
      order by ${id} limit ${differingNamedMax}`.execute(mysql);
    first[part] = named.rows.map((row) => String(row.id));
  }
  return Object.keys(differing).length ? { differing, first } : undefined;
}

const differingNamedMax = 20;

const beside = (schema: string, part: Part) =>
  sql`${oldTable(schema, part)} old left join ${sql.table(ourTables[part])} ours`;

/**
 * Rows of the old system that are not here as they were. What was posted here since may be another row, and is taken
 * out of other balances: of income a payment's sum is compared, of a contract its balance together with its income.
 */
const compared: Readonly<Record<Part, (schema: string) => RawBuilder<unknown>>> = {
  calls: (
    schema,
  ) => sql`${beside(schema, 'calls')} on ours.call_id = ${inOurCollation('old.call_id')}
    where old.filter_rule is not null and not ours.filter_rule <=> old.filter_rule`,
  contracts: (schema) => sql`${beside(schema, 'contracts')} on ours.contract_id = old.contract_id
    where ours.contract_id is null or ours.amount_fen <> old.amount_fen or ours.balance_fen +
        coalesce((select sum(amount_fen) from ${sql.table(ourTables.income)} allocated
          where allocated.contract_id = ours.contract_id), 0)
      <> old.balance_fen +
        coalesce((select sum(amount_fen) from ${oldTable(schema, 'income')} allocated
          where allocated.contract_id = old.contract_id), 0)`,
  income: (schema) => sql`(
      select payment_id, sum(amount_fen) amount_fen from ${oldTable(schema, 'income')}
      group by payment_id) old
    where not old.amount_fen <=> (select sum(amount_fen) from ${sql.table(ourTables.income)} posted
      where posted.payment_id = old.payment_id)`,
  payments: (schema) => sql`${beside(schema, 'payments')} on ours.id = old.id
    where ours.id is null or ours.amount_fen <> old.amount_fen or ours.state <> ${inOurCollation('old.state')}`,
};

/** Calls that the old system has not decided are left out: they are not over. */
async function pageOf(
  mysql: Kysely<AccountingTables>,
  schema: string,
  part: Part,
  after: string,
): Promise<readonly OldRow[]> {
  const key = sql.ref(oldTables[part].key);
  const decided = part === 'calls' ? sql`and filter_rule is not null` : sql``;
  const { rows } = await sql<OldRow>`select row_of_it.*, ${key} \`key\`
    from ${rowsOf(schema, part)} row_of_it
    where ${key} > ${after} ${decided} order by ${key} limit ${pageRowsMax}`.execute(mysql);
  return rows.map((row) => ({ ...row, key: String(row.key) }));
}

/** What is read of each part. */
function rowsOf(schema: string, part: Part) {
  if (part === 'payments') return paymentsFrom(schema);
  return part === 'income' ? incomeFrom(schema) : oldTable(schema, part);
}

/** Charges with their call by its own name: in shadow mode its row may have got another id here. */
const paymentsFrom = (schema: string) => sql`(
  select payment.*, \`call\`.call_id from ${oldTable(schema, 'payments')} payment
  left join ${oldTable(schema, 'calls')} \`call\` on \`call\`.id = payment.call_log_id)`;

/** Income whose payment neither the copy nor we have. */
const incomeFrom = (schema: string) => sql`(
  select income.* from ${oldTable(schema, 'income')} income
  where not exists (select 1 from ${oldTable(schema, 'payments')} payment
      where payment.id = income.payment_id and payment.id > 0)
    and not exists (select 1 from ${sql.table(ourTables.payments)} here
      where here.id = income.payment_id))`;
