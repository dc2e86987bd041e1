import type { Kysely, Transaction } from 'kysely';
import { isUnavailable, textOf } from '../../platform/errors.ts';
import { reportFailure } from '../../platform/lambda/log.ts';
import type { Tick } from '../../platform/lambda/schedule.ts';
import {
  acquireLease,
  assertLeaseHeld,
  type Lease,
  LeaseLost,
} from '../../platform/mysql/lease.ts';
import { inTransaction, isLockConflict } from '../../platform/mysql/mysql.ts';
import type { AccountingTables } from '../accounting-tables.ts';
import type { CallSettings } from '../settings.ts';
import {
  endPage,
  failedPage,
  finalPageAfter,
  forgetOpenCharges,
  type IncomeCursor,
  pageAfter,
  passCharge,
  type Row,
  readIncomeCursor,
  rememberFailure,
  writeIncomeCursor,
} from './income-cursor.ts';
import {
  accountsToAllocate,
  allocateWaiting,
  lockAccount,
  type Payment,
  postPayment,
} from './owner-accounts.ts';

interface IncomeDeps {
  readonly mysql: Kysely<AccountingTables>;
  readonly settings: () => Promise<Pick<CallSettings, 'pageRowsMax'>>;
}

const claimName = 'call/post-income';
/** Longer than the function may run: nobody takes over from one that is still at it. */
export const leaseSeconds = 120;
/** With less than this left nothing more is begun. */
const endMs = 5_000;
const shownMax = 20;

type Trx = Transaction<AccountingTables>;

/** A run under the lease, and what has come of it so far. */
interface Run {
  readonly mysql: Kysely<AccountingTables>;
  readonly claimed: Lease;
  readonly pageRowsMax: number;
  readonly remaining: () => number;
  posted: number;
  /** Why payments, and accounts that were to be allocated, failed. */
  readonly failures: Map<string, string>;
  /** Owners whose account another transaction holds: their payments wait for the next run. */
  readonly busy: Set<string>;
}

/**
 * Posts every charge that has no income yet, in the order of the charges. The cursor passes a charge that is not final,
 * or that cannot be posted, and remembers its id: it is posted once it can be, and no other waits for it. Income,
 * balances and cursor are one transaction for each charge; a run that is out of time keeps its place.
 */
export async function postIncome(
  { mysql, settings }: IncomeDeps,
  { remaining }: Pick<Tick, 'remaining'>,
) {
  const claimed = await acquireLease(mysql, claimName, leaseSeconds);
  if (!claimed) return { outcome: 'another posts', posted: 0 };
  try {
    const { pageRowsMax } = await settings();
    const found = { posted: 0, failures: new Map<string, string>(), busy: new Set<string>() };
    return await posted({ mysql, claimed, pageRowsMax, remaining, ...found });
  } finally {
    await claimed.release();
  }
}

async function posted(run: Run) {
  const ended =
    (await postRemembered(run)) &&
    (await postNew(run)) &&
    (await allocateRest(run)) &&
    (await retryFailed(run));
  const done = run.posted ? 'posted' : 'nothing new';
  return { outcome: ended ? done : 'out of time', posted: run.posted, ...named(run) };
}

/** Each failure by its payment: one line, and one count, for all of a run. */
function named({ failures }: Run) {
  const [first] = failures.values();
  if (first === undefined) return {};
  const shown = Object.fromEntries([...failures].slice(0, shownMax));
  reportFailure('not posted', { count: failures.size, failures: shown }, first);
  return { notPosted: failures.size };
}

/** Whether there was time for all of them; the same below. */
async function postRemembered(run: Run): Promise<boolean> {
  let after = '0';
  for (;;) {
    if (run.remaining() <= endMs) return false;
    const rows = await finalPageAfter(run.mysql, after, run.pageRowsMax);
    if (!(await postEach(run, rows))) return false;
    after = rows.at(-1)?.id ?? after;
    if (rows.length < run.pageRowsMax) return true;
  }
}

/** Those that could not be posted before come last, a page of them in each run. */
const retryFailed = async (run: Run): Promise<boolean> =>
  await postEach(run, await failedPage(run.mysql, run.pageRowsMax));

async function postEach(run: Run, rows: readonly Row[]): Promise<boolean> {
  const ended = rows.filter(hasEnded).map(({ id }) => id);
  if (ended.length) await underLease(run, (trx) => forgetOpenCharges(trx, ended));
  for (const row of rows) {
    if (hasEnded(row)) continue;
    if (run.remaining() <= endMs) return false;
    const why = await postOne(run, row, (trx) => forgetOpenCharges(trx, [row.id]));
    if (why) await rememberFailure(run.mysql, row.id, why);
  }
  return true;
}

const hasEnded = ({ state, posted: has }: Row) => state === 'refused' || Number(has) === 1;

/** Rows above the cursor. Above the first that is too young to be passed they are posted, and read again next time. */
async function postNew(run: Run): Promise<boolean> {
  const place = await readIncomeCursor(run.mysql);
  let [after, unbroken] = [place.cursor, true];
  for (;;) {
    if (run.remaining() <= endMs) return false;
    const rows = await pageAfter(run.mysql, after, run.pageRowsMax);
    for (const row of rows) {
      if (run.remaining() <= endMs) {
        await keep(run, place);
        return false;
      }
      unbroken &&= Number(row.old) === 1;
      const fate = await postAt(run, row, place, unbroken ? row.id : place.cursor);
      if (unbroken) passCharge(place, row.id, fate);
      after = row.id;
    }
    await keep(run, place);
    if (rows.length < run.pageRowsMax) return true;
  }
}

/** Posts a row if it can be posted; the place up to `cursor` is part of the same transaction. */
async function postAt(run: Run, row: Row, place: IncomeCursor, cursor: string): Promise<Fate> {
  if (hasEnded(row)) return undefined;
  if (row.state !== 'charged') return null;
  const fate = await postOne(run, row, (trx) => writeIncomeCursor(trx, { ...place, cursor }));
  if (fate === undefined) endPage(place, cursor);
  return fate;
}

/** Writes a place that has moved since it was written last. */
async function keep(run: Run, place: IncomeCursor): Promise<void> {
  if (place.cursor === place.keptTo) return;
  await underLease(run, (trx) => writeIncomeCursor(trx, place));
  endPage(place, place.cursor);
}

/** What became of a payment: undefined, it has ended; null, it waits; else why it could not be posted. */
type Fate = string | null | undefined;

const postOne = async (run: Run, payment: Payment, more: (trx: Trx) => Promise<void>) =>
  await withAccount(run, `payment ${payment.id}`, payment.user_id, async (trx) => {
    const isNew = await postPayment(trx, payment);
    await more(trx);
    return () => {
      if (isNew) run.posted += 1;
    };
  });

/** Portions that call/post-contract, or a reversal, has left. */
async function allocateRest(run: Run): Promise<boolean> {
  for (const user_id of await accountsToAllocate(run.mysql, run.pageRowsMax))
    for (let more = true; more; ) {
      if (run.remaining() <= endMs) return false;
      const fate = await withAccount(run, `account ${user_id}`, user_id, async (trx) => {
        const portion = await allocateWaiting(trx, user_id);
        return () => {
          more = portion.more;
        };
      });
      if (fate !== undefined) break;
    }
  return true;
}

/**
 * Works under the lease and the lock of an owner's account; what `work` returns is called after the commit. An error
 * is that of this owner or payment, and is noted: only a database that is unavailable, or a lost lease, ends the run.
 */
async function withAccount(
  run: Run,
  what: string,
  user_id: string,
  work: (trx: Trx) => Promise<() => void>,
): Promise<Fate> {
  if (run.busy.has(user_id)) return null;
  try {
    const committed = await underLease(run, async (trx) => {
      await lockAccount(trx, user_id);
      return await work(trx);
    });
    committed();
    return undefined;
  } catch (error) {
    if (isLockConflict(error)) {
      run.busy.add(user_id);
      return null;
    }
    if (error instanceof LeaseLost || isUnavailable(error)) throw error;
    run.failures.set(what, textOf(error));
    return textOf(error);
  }
}

const underLease = async <Result>({ mysql, claimed }: Run, work: (trx: Trx) => Promise<Result>) =>
  await inTransaction(mysql, async (trx) => {
    await assertLeaseHeld(trx, claimed);
    return await work(trx);
  });
