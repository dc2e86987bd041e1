/** Finds differences between our payment log and the payment centre's statements. */
import { type Kysely, sql } from 'kysely';
import { PartnerUnavailable } from '../../platform/errors.ts';
import { isId } from '../../platform/ids.ts';
import { plusSeconds } from '../../platform/time.ts';
import type { AccountingTables } from '../accounting-tables.ts';
import type { OddEntry, Payments, StatementTrade } from '../partners/payment-centre.ts';
import type { Comparison, Difference, Span } from './book-differences.ts';

const table = 'user_prop_db.sublessor_call_payment_log_201409';
const idsPerStatementMax = 500;
/** A charge is looked for in the statements of this many days after it was made. */
const statementDaysMax = 40;
const daySeconds = 86_400;

/** The kinds of difference that this module can find. */
export const statementKinds = [
  'trade without charge',
  'charge and its trade',
  'trade of another owner',
  'charge without trade',
  'trade listed twice',
  'trade not readable',
] as const;

interface StatementDifference extends Difference {
  readonly kind: (typeof statementKinds)[number];
}

interface Statement {
  /** A day's trades by id: normally one entry, more if the statement lists a trade repeatedly. */
  readonly trades: ReadonlyMap<string, Listed>;
  readonly odd: readonly OddEntry[];
  /** The ids of all entries, including odd entries with an id. */
  readonly ids: ReadonlySet<string>;
}
type Listed = readonly [StatementTrade, ...StatementTrade[]];

/** Returns the statement of a day; each is fetched once. */
export type Statements = (day: string) => Promise<Statement>;

export function statementsOf({ statementOf }: Pick<Payments, 'statementOf'>): Statements {
  const known = new Map<string, Promise<Statement>>();
  return (day) => {
    const statement = known.get(day) ?? statementOf(day).then(toStatement);
    known.set(day, statement);
    return statement;
  };
}

function toStatement(entries: readonly (StatementTrade | OddEntry)[]): Statement {
  const trades = new Map<string, [StatementTrade, ...StatementTrade[]]>();
  const odd: OddEntry[] = [];
  for (const entry of entries) {
    if ('odd' in entry) {
      odd.push(entry);
      continue;
    }
    const before = trades.get(entry.tradeId);
    if (before) before.push(entry);
    else trades.set(entry.tradeId, [entry]);
  }
  const ids = new Set(entries.flatMap(({ tradeId }) => tradeId ?? []));
  return { trades, odd, ids };
}

interface Row {
  readonly id: string;
  readonly user_id: string;
  readonly amount_fen: string | number;
  readonly state: string;
}

/**
 * Compares our payment log with the payment centre's statement of a day: charges that were made on that day, and charges
 * that were settled on it, whenever they were made.
 */
export async function differencesOfStatement(
  mysql: Kysely<AccountingTables>,
  statements: Statements,
  day: string,
): Promise<Comparison> {
  const span = { from: `${day} 00:00:00`, to: plusSeconds(`${day} 00:00:00`, daySeconds) };
  const { trades, odd, ids: listedIds } = await statements(day);
  const dayBefore = await undefinedIfUnavailable(statements(plusDays(day, -1)));
  const found: Difference[] = odd.map((entry) => notReadable(entry, day));
  const ids = [...trades.keys()];
  for (let start = 0; start < ids.length; start += idsPerStatementMax) {
    const part = ids.slice(start, start + idsPerStatementMax);
    const rows = new Map((await rowsOf(mysql, part.filter(isId))).map((row) => [row.id, row]));
    for (const id of part) {
      const listed = trades.get(id);
      if (listed) found.push(...compareTrade(rows.get(id), listed, dayBefore?.trades.get(id)));
    }
  }
  let why: string | undefined;
  for (const row of await chargedIn(mysql, span)) {
    if (listedIds.has(row.id)) continue;
    try {
      if (!(await isOnAnotherStatement(statements, row, day))) found.push(missing(row));
    } catch (error) {
      if (!(error instanceof PartnerUnavailable)) throw error;
      why = error.message;
    }
  }
  return { found, why };
}

/** Returns undefined for an unavailable statement of the day before, which only shows trades listed twice. */
async function undefinedIfUnavailable(
  statement: Promise<Statement>,
): Promise<Statement | undefined> {
  try {
    return await statement;
  } catch (error) {
    if (error instanceof PartnerUnavailable) return undefined;
    throw error;
  }
}

async function rowsOf(mysql: Kysely<AccountingTables>, ids: readonly string[]): Promise<Row[]> {
  if (!ids.length) return [];
  return await mysql
    .selectFrom(table)
    .select(['id', 'user_id', 'amount_fen', 'state'])
    .where('id', 'in', ids)
    .execute();
}

/** Returns charges made or settled in the span. A union, so that each half uses its own index. */
async function chargedIn(mysql: Kysely<AccountingTables>, { from, to }: Span) {
  const within = (column: 'created_at' | 'updated_at') =>
    mysql
      .selectFrom(table)
      .select(['id', 'user_id', 'amount_fen', 'state'])
      .select([
        sql<string>`date(created_at)`.as('made'),
        sql<string>`date(updated_at)`.as('settled'),
      ])
      .where('state', '=', 'charged')
      .where(column, '>=', from)
      .where(column, '<', to);
  return await within('created_at').union(within('updated_at')).execute();
}

function* compareTrade(
  row: Row | undefined,
  listed: Listed,
  dayBefore: Listed | undefined,
): Generator<StatementDifference> {
  const [{ tradeId, userId, amountFen }] = listed;
  const subject = `payment ${tradeId}`;
  const theirs = String(amountFen);
  const ours = row ? String(row.amount_fen) : null;
  const all = [...(dayBefore ?? []), ...listed].map((trade) => trade.amountFen);
  if (all.length > 1) yield { kind: 'trade listed twice', subject, ours, theirs: all.join(' + ') };
  if (row?.state !== 'charged')
    return yield { kind: 'trade without charge', subject, ours: row?.state ?? null, theirs };
  if (BigInt(row.amount_fen) !== BigInt(amountFen))
    yield { kind: 'charge and its trade', subject, ours, theirs };
  if (row.user_id !== userId)
    yield { kind: 'trade of another owner', subject, ours: row.user_id, theirs: userId };
}

const notReadable = ({ tradeId, position, odd }: OddEntry, day: string): StatementDifference => ({
  kind: 'trade not readable',
  subject: tradeId === undefined ? `entry ${position} of ${day}` : `payment ${tradeId}`,
  ours: null,
  theirs: odd,
});

const missing = ({ id, amount_fen }: Row): StatementDifference => ({
  kind: 'charge without trade',
  subject: `payment ${id}`,
  ours: String(amount_fen),
  theirs: null,
});

/**
 * Tells whether the statement of another day lists the charge, which happens near midnight and when it was sent again
 * days later. Its values are compared with that day.
 */
async function isOnAnotherStatement(
  statements: Statements,
  { id, made, settled }: Row & { readonly made: string; readonly settled: string },
  day: string,
): Promise<boolean> {
  const last = plusDays(made, statementDaysMax);
  for (let other = plusDays(made, -1); other <= last; other = plusDays(other, 1)) {
    if (other !== day && (await statements(other)).ids.has(id)) return true;
    if (other > settled) break;
  }
  return false;
}

/** Returns the Shanghai day `days` later. */
export const plusDays = (day: string, days: number): string =>
  plusSeconds(`${day} 00:00:00`, days * daySeconds).slice(0, 10);
