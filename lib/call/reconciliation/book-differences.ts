/** Finds differences between our own tables: calls, charges, income and contracts. */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { AccountingTables } from '../accounting-tables.ts';

/** A difference between two sources about a call, charge, trade or contract; null if a source has no value. */
export interface Difference {
  readonly kind: string;
  readonly subject: string;
  readonly ours: string | null;
  readonly theirs: string | null;
}

/** The result of comparing two sources. `why` is set if the comparison is incomplete. */
export interface Comparison {
  readonly found: readonly Difference[];
  readonly why?: string | undefined;
}

/** A range of whole Shanghai days, as wall times. */
export interface Span {
  readonly from: string;
  /** Exclusive. */
  readonly to: string;
}

const calls = sql.table('user_prop_db.sublessor_call_log_201409');
const payments = sql.table('user_prop_db.sublessor_call_payment_log_201409');
const income = sql.table('user_prop_db.sublessor_accounting_income_201409');
const contracts = sql.table('user_prop_db.sublessor_contract');
const postings = sql.table('user_prop_db.sublessor_contract_posting');

type Rows = Omit<Difference, 'kind'>;

/** The query of a kind: each row that it selects is a difference. */
type Query = (span: Span) => RawBuilder<Rows>;

const within = (column: string, { from, to }: Span) =>
  sql`${sql.ref(column)} >= ${from} and ${sql.ref(column)} < ${to}`;

/** Compares calls, charges and income of some days. */
const ofDays: Readonly<Record<string, Query>> = {
  'call not decided': (span) => sql`
    select concat('call ', c.call_id) subject, null ours, null theirs from ${calls} c
    where ${within('c.created_at', span)} and c.filter_rule is null`,
  'valid call without charge': (span) => sql`
    select concat('call ', c.call_id) subject, null ours, null theirs from ${calls} c
    left join ${payments} p on p.call_log_id = c.id
    where ${within('c.created_at', span)} and c.filter_rule = 1 and p.id is null`,
  'charge without valid call': (span) => sql`
    select concat('payment ', p.id) subject, p.amount_fen ours,
      if(c.id is null, null, concat('call ', c.call_id, ' has rule ', coalesce(c.filter_rule, 'none')))
        theirs
    from ${payments} p left join ${calls} c on c.id = p.call_log_id
    where ${within('p.created_at', span)} and p.reverses_id is null and p.refund_refused_of is null
      and p.freed_call_log_id is null and p.freed_reverses_id is null
      and (c.id is null or c.filter_rule is null or c.filter_rule <> 1)`,
  'charge of another owner': (span) => sql`
    select concat('payment ', p.id) subject, p.user_id ours, c.user_id theirs
    from ${payments} p join ${calls} c on c.id = p.call_log_id
    where ${within('p.created_at', span)} and p.user_id <> c.user_id`,
  'reversal without its charge': (span) => sql`
    select concat('payment ', p.id) subject, p.amount_fen ours, -o.amount_fen theirs
    from ${payments} p left join ${payments} o on o.id = p.reverses_id and o.state = 'charged'
    where ${within('p.created_at', span)} and p.reverses_id is not null
      and (o.id is null or o.amount_fen <> -p.amount_fen or o.user_id <> p.user_id)`,
  'charge open': (span) => sql`
    select concat('payment ', p.id) subject, p.state ours, null theirs from ${payments} p
    where ${within('p.created_at', span)} and p.state not in ('charged', 'refused')`,
  'charge and its income': (span) => sql`
    select concat('payment ', p.id) subject, p.amount_fen ours, sum(i.amount_fen) theirs
    from ${payments} p left join ${income} i on i.payment_id = p.id
    where ${within('p.created_at', span)} and p.state = 'charged'
    group by p.id, p.amount_fen having sum(i.amount_fen) is null or sum(i.amount_fen) <> p.amount_fen`,
  'income without charge': (span) => sql`
    select concat('income ', i.id) subject, null ours, i.amount_fen theirs
    from ${income} i left join ${payments} p on p.id = i.payment_id and p.state = 'charged'
    where ${within('i.created_at', span)} and p.id is null`,
  'income of another owner': (span) => sql`
    select concat('income ', i.id) subject, p.user_id ours, i.user_id theirs
    from ${income} i join ${payments} p on p.id = i.payment_id
    where ${within('i.created_at', span)} and p.user_id <> i.user_id`,
};

/** Compares all contracts with their income and postings. */
const ofContracts: Readonly<Record<string, Query>> = {
  'contract balance': () => sql`
    select concat('contract ', c.contract_no) subject, c.balance_fen ours,
      c.amount_fen - coalesce(i.allocated, 0) theirs
    from ${contracts} c
    left join (select contract_id, sum(amount_fen) allocated from ${income} group by contract_id) i
      on i.contract_id = c.contract_id
    where c.balance_fen <> c.amount_fen - coalesce(i.allocated, 0)`,
  'income without contract': () => sql`
    select concat('contract ', i.contract_id) subject, null ours, sum(i.amount_fen) theirs
    from ${income} i left join ${contracts} c on c.contract_id = i.contract_id
    where i.contract_id is not null and c.contract_id is null group by i.contract_id`,
  'contract of another owner': () => sql`
    select concat('income ', i.id) subject, c.user_id ours, i.user_id theirs
    from ${income} i join ${contracts} c on c.contract_id = i.contract_id
    where c.user_id <> i.user_id`,
  'contract and its posting': () => sql`
    select concat('contract ', coalesce(c.contract_no, p.contract_no)) subject,
      c.amount_fen ours, p.amount_fen theirs
    from ${postings} p left join ${contracts} c on c.contract_id = p.contract_id
    where c.contract_id is null or c.amount_fen <> p.amount_fen or c.contract_no <> p.contract_no
    union all
    select concat('contract ', c.contract_no), c.amount_fen, null
    from ${contracts} c left join ${postings} p on p.contract_id = c.contract_id
    where p.contract_id is null`,
};

const comparisonOf =
  (queries: Readonly<Record<string, Query>>) =>
  async (mysql: Kysely<AccountingTables>, span: Span): Promise<Difference[]> => {
    const all: Difference[] = [];
    for (const [kind, query] of Object.entries(queries)) {
      const { rows } = await query(span).execute(mysql);
      all.push(...rows.map((row) => ({ kind, ...row })));
    }
    return all;
  };

export const differencesOfDays = comparisonOf(ofDays);
export const differencesOfContracts = comparisonOf(ofContracts);

/** Like `Query`, for a range of ids and all days before `end`. */
type RangeQuery = (range: { after: string; to: string }, end: string) => RawBuilder<Rows>;

/** Compares charges and income of all days, because a charge may be settled, and income change, much later. */
const ofPayments: Readonly<Record<string, RangeQuery>> = {
  'charge and its income': ({ after, to }, end) => sql`
    select concat('payment ', p.id) subject, p.amount_fen ours,
      (select sum(i.amount_fen) from ${income} i where i.payment_id = p.id) theirs
    from ${payments} p
    where p.id > ${after} and p.id <= ${to} and p.created_at < ${end} and p.state = 'charged'
    having theirs is null or theirs <> ours`,
};
const ofIncome: Readonly<Record<string, RangeQuery>> = {
  'income without charge': ({ after, to }, end) => sql`
    select concat('income ', i.id) subject, null ours, i.amount_fen theirs
    from ${income} i left join ${payments} p on p.id = i.payment_id and p.state = 'charged'
    where i.id > ${after} and i.id <= ${to} and i.created_at < ${end} and p.id is null`,
  'income of another owner': ({ after, to }, end) => sql`
    select concat('income ', i.id) subject, p.user_id ours, i.user_id theirs
    from ${income} i join ${payments} p on p.id = i.payment_id
    where i.id > ${after} and i.id <= ${to} and i.created_at < ${end} and p.user_id <> i.user_id`,
};

const rangeRows = 20_000;

/** Compares all charges with all income, a range of ids at a time, while `remaining()` is above `endMs`. */
export async function differencesOfIncome(
  mysql: Kysely<AccountingTables>,
  { to: end }: Span,
  remaining: () => number,
  endMs: number,
): Promise<Comparison> {
  const all: Difference[] = [];
  for (const [table, queries] of [
    [payments, ofPayments],
    [income, ofIncome],
  ] as const) {
    let after = '0';
    for (;;) {
      if (remaining() < endMs) return { found: all, why: 'out of time' };
      const { rows: ids } = await sql<{ id: string | null }>`select max(id) id from (
        select id from ${table} where id > ${after} order by id limit ${rangeRows}) range_of_ids`.execute(
        mysql,
      );
      const to = ids[0]?.id;
      if (to == null) break;
      for (const [kind, query] of Object.entries(queries)) {
        const { rows } = await query({ after, to }, end).execute(mysql);
        all.push(...rows.map((row) => ({ kind, ...row })));
      }
      after = to;
    }
  }
  return { found: all };
}

/** The kinds of difference that each comparison above can find. */
export const kindsOf = {
  days: Object.keys(ofDays),
  income: Object.keys({ ...ofPayments, ...ofIncome }),
  contracts: Object.keys(ofContracts),
} as const;
