import { type Kysely, sql } from 'kysely';
import { plusSeconds } from '../platform/time.ts';
import type { AccountingTables } from './accounting-tables.ts';
import type { Difference, Span } from './differences.ts';
import type { Payments, StatementTrade } from './payments.ts';

const table = 'user_prop_db.sublessor_call_payment_log_201409';
const idsPerStatementMax = 500;
/** A charge that was settled later than this after it was made is looked for no further. */
const statementDaysMax = 40;
const daySeconds = 86_400;

/** The payment centre's statements, each asked for once. */
export type Statements = (day: string) => Promise<ReadonlyMap<string, StatementTrade>>;

export function statementsOf({ statementOf }: Pick<Payments, 'statementOf'>): Statements {
  const known = new Map<string, Promise<ReadonlyMap<string, StatementTrade>>>();
  return (day) => {
    const asked =
      known.get(day) ??
      statementOf(day).then((trades) => new Map(trades.map((trade) => [trade.tradeId, trade])));
    known.set(day, asked);
    return asked;
  };
}

interface Row {
  readonly id: string;
  readonly user_id: string;
  readonly amount_fen: string | number;
  readonly state: string;
}

/** What our payment log and the payment centre's statement of a day say of each other. */
export async function differencesOfStatement(
  mysql: Kysely<AccountingTables>,
  statements: Statements,
  day: string,
): Promise<Difference[]> {
  const span = { from: `${day} 00:00:00`, to: plusSeconds(`${day} 00:00:00`, daySeconds) };
  const trades = await statements(day);
  const found: Difference[] = [];
  const ids = [...trades.keys()];
  for (let start = 0; start < ids.length; start += idsPerStatementMax) {
    const part = ids.slice(start, start + idsPerStatementMax);
    const rows = new Map((await rowsOf(mysql, part)).map((row) => [row.id, row]));
    for (const id of part) {
      const trade = trades.get(id);
      if (trade) found.push(...between(rows.get(id), trade));
    }
  }
  for (const row of await chargedIn(mysql, span))
    if (!trades.has(row.id) && !(await isElsewhere(statements, row, day))) found.push(missing(row));
  return found;
}

const rowsOf = (mysql: Kysely<AccountingTables>, ids: readonly string[]): Promise<Row[]> =>
  mysql
    .selectFrom(table)
    .select(['id', 'user_id', 'amount_fen', 'state'])
    .where('id', 'in', ids)
    .execute();

const chargedIn = (mysql: Kysely<AccountingTables>, { from, to }: Span) =>
  mysql
    .selectFrom(table)
    .select(['id', 'user_id', 'amount_fen', 'state'])
    .select(sql<string>`date(updated_at)`.as('settled'))
    .where('state', '=', 'charged')
    .where('created_at', '>=', from)
    .where('created_at', '<', to)
    .execute();

function* between(row: Row | undefined, trade: StatementTrade): Generator<Difference> {
  const { tradeId, userId, amountFen } = trade;
  const subject = `payment ${tradeId}`;
  const theirs = String(amountFen);
  if (row?.state !== 'charged')
    return yield { kind: 'trade without charge', subject, ours: row?.state ?? null, theirs };
  if (BigInt(row.amount_fen) !== BigInt(amountFen))
    yield { kind: 'charge and its trade', subject, ours: String(row.amount_fen), theirs };
  if (row.user_id !== userId)
    yield { kind: 'trade of another owner', subject, ours: row.user_id, theirs: userId };
}

const missing = ({ id, amount_fen }: Row): Difference => ({
  kind: 'charge without trade',
  subject: `payment ${id}`,
  ours: String(amount_fen),
  theirs: null,
});

/**
 * Whether the statement of another day has it: a charge made near midnight, or sent again days later. Its values are
 * compared when that day is.
 */
async function isElsewhere(
  statements: Statements,
  { id, settled }: Row & { readonly settled: string },
  day: string,
): Promise<boolean> {
  const days = [plusDays(day, -1)];
  for (let next = 1; next <= statementDaysMax; next++) {
    days.push(plusDays(day, next));
    if (plusDays(day, next) > settled) break;
  }
  for (const other of days) if ((await statements(other)).has(id)) return true;
  return false;
}

/** A Shanghai day so many days later. */
export const plusDays = (day: string, days: number): string =>
  plusSeconds(`${day} 00:00:00`, days * daySeconds).slice(0, 10);
