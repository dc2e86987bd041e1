import { type Kysely, sql } from 'kysely';
import { isId, numberedIdMax } from '../../platform/ids.ts';
import type { Hand } from '../../platform/lambda/by-hand.ts';
import { inTransaction } from '../../platform/mysql/mysql.ts';
import { audit } from '../../platform/operations/audit.ts';
import { paymentLogTable as paymentLog } from '../charging/payment-log.ts';
import type { AdvancePaymentIds } from '../inputs.ts';
import type { Payments } from '../partners/payment-centre.ts';
import { plusDays } from '../reconciliation/statement-differences.ts';
import type { FirstCallSwitchOff } from '../row-lease.ts';
import type { CallTables } from '../tables.ts';
import { markIdsAsUsed } from './used-ids.ts';

const partner = 'partner/payment';
const daysMax = 400;

interface PaymentIdDeps {
  readonly mysql: Kysely<CallTables>;
  readonly payments: Pick<Payments, 'statementOf' | 'tradeOf'>;
  readonly firstSwitchOff: FirstCallSwitchOff;
}

/** Statements list no refused trades, but these have used up ids as well: so many ids are passed over. */
const idsPassedOver = 1_000_000n;
/** Trades with ids that ours cannot have, as many as are named. */
const namedMax = 20;
/**
 * With less than this left no further statement is read. After the last one the payment centre is asked about a trade,
 * and the ids are written.
 */
export const statementMs = 50_000;

/**
 * Moves the ids of payments above all that the payment centre knows, after our database was restored to an earlier
 * state: an id that is given twice gets the answer of the first trade, so a call would be `charged` without money.
 * Idempotent: a second invocation computes the same id from the same statements.
 */
export async function advancePaymentIds(
  { mysql, payments, firstSwitchOff }: PaymentIdDeps,
  { from, by, why, highest: known, passed_over }: AdvancePaymentIds,
  { remaining, progress }: Pick<Hand, 'remaining' | 'progress'>,
) {
  // A charge that begins meanwhile gets an id that the payment centre may know.
  if (!(await firstSwitchOff('charging'))) return { outcome: 'charging goes on: stop it first' };
  const newest = await newestPayment(mysql);
  const first = from ?? plusDays(newest.day, -1);
  if (plusDays(first, daysMax) < newest.today)
    throw new Error(`from: ${first} is more than ${daysMax} days ago; name a later day.`);
  let theirs = BigInt(known);
  const passedOver = [...passed_over];
  const isPartnerOff = async () => (await firstSwitchOff(partner)) !== undefined;
  for (let day = first; day <= newest.today; day = plusDays(day, 1)) {
    if (await isPartnerOff()) return { outcome: `${partner} is off` };
    if (day !== first && remaining() < statementMs)
      return {
        outcome: 'out of time',
        resume: { from: day, by, why, highest: String(theirs), passed_over: passedOver },
      };
    for (const { tradeId } of await payments.statementOf(day)) {
      theirs = max(theirs, idOf(tradeId));
      if (!idOf(tradeId) && passedOver.length < namedMax) passedOver.push(tradeId ?? `of ${day}`);
    }
    progress(Number(theirs), undefined, day);
  }
  const last = max(theirs, BigInt(newest.id));
  const next = last + idsPassedOver;
  if (next > BigInt(numberedIdMax))
    throw new Error(
      `Id ${last} leaves no ids above it, because ids end at ${numberedIdMax}: move its row out of the payment log and start again.`,
    );
  if (await isPartnerOff()) return { outcome: `${partner} is off` };
  const above = await payments.tradeOf(String(next));
  if (above.is !== 'never seen')
    throw new Error(`The payment centre knows trade ${next}: name an earlier day as \`from\`.`);
  const highest = { highest_ours: newest.id, highest_theirs: String(theirs), next: String(next) };
  const facts = { ...highest, ...(passedOver.length && { passed_over: passedOver }) };
  await inTransaction(mysql, async (trx) => {
    await markIdsAsUsed(trx, 'payments', String(next - 1n));
    await audit(trx, { who: by, what: 'call/advance-payment-ids', why, detail: facts });
  });
  return { outcome: 'advanced', ...facts };
}

const max = (one: bigint, other: bigint): bigint => (one > other ? one : other);

/** 0 for an id that cannot be one of ours: there would be none above it. */
const idOf = (tradeId = ''): bigint =>
  isId(tradeId) && BigInt(tradeId) + idsPassedOver <= BigInt(numberedIdMax) ? BigInt(tradeId) : 0n;

/** A row that is stamped in the future says nothing about the day of the newest. */
async function newestPayment(mysql: Kysely<CallTables>) {
  const { rows } = await sql<{ id: string; day: string; today: string }>`
    select coalesce(max(id), 0) id, date(now()) today,
      date(coalesce(max(if(created_at <= now(3), created_at, null)), now())) day
    from ${sql.table(paymentLog)}`.execute(mysql);
  const [row] = rows;
  if (!row) throw new Error('The newest payment could not be read.');
  return row;
}
