/** Posts charges to the contracts of their owners, in the order of the charges. */
import type { Kysely, Transaction } from 'kysely';
import { isUnavailable, textOf } from '../../platform/errors.ts';
import { type OutcomeWithFacts, reportFailure } from '../../platform/lambda/log.ts';
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
  failedPage,
  finalPageAfter,
  forgetOpenCharges,
  type IncomeCursor,
  markAsWritten,
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

const leaseName = 'call/post-income';
/** Longer than the function's timeout, so that no run starts while another is still working. */
export const leaseSeconds = 120;
/** With less time left than this nothing more is started. */
const endMs = 5_000;
const shownMax = 20;

type Trx = Transaction<AccountingTables>;

/** A run under the lease, and its results so far. */
interface Run {
  readonly mysql: Kysely<AccountingTables>;
  readonly lease: Lease;
  readonly pageRowsMax: number;
  readonly remaining: () => number;
  posted: number;
  /** The errors, by payment or account. */
  readonly failures: Map<string, string>;
  /** Owners whose account another transaction has locked: their payments wait for the next run. */
  readonly busy: Set<string>;
}

/**
 * Posts every charge that has no income yet, in the order of the charges. A charge without a final result, or whose
 * posting fails, is stored as open and posted by a later run, so it blocks no other charge. Each charge has its own
 * transaction with income, balances and cursor; a run that is out of time writes its cursor.
 */
export async function postIncome(
  { mysql, settings }: IncomeDeps,
  { remaining }: Pick<Tick, 'remaining'>,
): Promise<OutcomeWithFacts> {
  const lease = await acquireLease(mysql, leaseName, leaseSeconds);
  if (!lease) return { outcome: 'lease-not-acquired', posted: 0 };
  try {
    const { pageRowsMax } = await settings();
    return await runUnderLease({
      mysql,
      lease,
      pageRowsMax,
      remaining,
      posted: 0,
      failures: new Map(),
      busy: new Set(),
    });
  } finally {
    await lease.release();
  }
}

async function runUnderLease(run: Run): Promise<OutcomeWithFacts> {
  const isComplete =
    (await postOpenCharges(run)) &&
    (await postNew(run)) &&
    (await allocateRest(run)) &&
    (await retryFailed(run));
  const done = run.posted ? 'posted' : 'nothing-new';
  return {
    outcome: isComplete ? done : 'out-of-time',
    posted: run.posted,
    ...reportFailures(run),
  };
}

/** Reports all failures of a run as one log line and one count. Returns their number for the answer. */
function reportFailures({ failures }: Run) {
  const [first] = failures.values();
  if (first === undefined) return {};
  const shown = Object.fromEntries([...failures].slice(0, shownMax));
  reportFailure('not-posted', { count: failures.size, failures: shown }, first);
  return { notPosted: failures.size };
}

/** Posts open charges that have their final result now. Returns false if the time was not enough, as do the functions below. */
async function postOpenCharges(run: Run): Promise<boolean> {
  let after = '0';
  for (;;) {
    if (run.remaining() <= endMs) return false;
    const rows = await finalPageAfter(run.mysql, after, run.pageRowsMax);
    if (!(await postEach(run, rows))) return false;
    after = rows.at(-1)?.id ?? after;
    if (rows.length < run.pageRowsMax) return true;
  }
}

/** Retries one page of the charges whose posting failed. It is the last step of a run. */
const retryFailed = async (run: Run): Promise<boolean> =>
  await postEach(run, await failedPage(run.mysql, run.pageRowsMax));

async function postEach(run: Run, rows: readonly Row[]): Promise<boolean> {
  const closed = rows.filter(isClosed).map(({ id }) => id);
  if (closed.length) await underLease(run, (trx) => forgetOpenCharges(trx, closed));
  for (const row of rows) {
    if (isClosed(row)) continue;
    if (run.remaining() <= endMs) return false;
    const why = await postOne(run, row, (trx) => forgetOpenCharges(trx, [row.id]));
    if (why) await rememberFailure(run.mysql, row.id, why);
  }
  return true;
}

const isClosed = ({ state, posted: has }: Row) => state === 'refused' || Number(has) === 1;

/**
 * Posts rows after the cursor. The cursor stops before the first row that is not `old`: later rows are posted as well,
 * and read again by the next run.
 */
async function postNew(run: Run): Promise<boolean> {
  const position = await readIncomeCursor(run.mysql);
  let [after, canPass] = [position.cursor, true];
  for (;;) {
    if (run.remaining() <= endMs) return false;
    const rows = await pageAfter(run.mysql, after, run.pageRowsMax);
    for (const row of rows) {
      if (run.remaining() <= endMs) {
        await writePosition(run, position);
        return false;
      }
      canPass &&= Number(row.old) === 1;
      const result = await postWithCursor(run, row, position, canPass ? row.id : position.cursor);
      if (canPass) passCharge(position, row.id, result);
      after = row.id;
    }
    await writePosition(run, position);
    if (rows.length < run.pageRowsMax) return true;
  }
}

/** Posts a row if it can be posted. Writes the cursor in the same transaction. */
async function postWithCursor(
  run: Run,
  row: Row,
  position: IncomeCursor,
  cursor: string,
): Promise<PostResult> {
  if (isClosed(row)) return undefined;
  if (row.state !== 'charged') return null;
  const result = await postOne(run, row, (trx) => writeIncomeCursor(trx, { ...position, cursor }));
  if (result === undefined) markAsWritten(position, cursor);
  return result;
}

/** Writes the cursor if it has moved since it was last written. */
async function writePosition(run: Run, position: IncomeCursor): Promise<void> {
  if (position.cursor === position.storedCursor) return;
  await underLease(run, (trx) => writeIncomeCursor(trx, position));
  markAsWritten(position, position.cursor);
}

/** The result of posting: undefined = posted or refused; null = not yet possible; a text = the error. */
type PostResult = string | null | undefined;

const postOne = async (run: Run, payment: Payment, more: (trx: Trx) => Promise<void>) =>
  await withAccount(run, `payment ${payment.id}`, payment.user_id, async (trx) => {
    const isNew = await postPayment(trx, payment);
    await more(trx);
    return () => {
      if (isNew) run.posted += 1;
    };
  });

/** Allocates the portions that call/post-contract or a reversal has left. */
async function allocateRest(run: Run): Promise<boolean> {
  for (const user_id of await accountsToAllocate(run.mysql, run.pageRowsMax))
    for (let more = true; more; ) {
      if (run.remaining() <= endMs) return false;
      const result = await withAccount(run, `account ${user_id}`, user_id, async (trx) => {
        const portion = await allocateWaiting(trx, user_id);
        return () => {
          more = portion.more;
        };
      });
      if (result !== undefined) break;
    }
  return true;
}

/**
 * Runs `work` under the lease and the lock of an owner's account, and calls the function that it returns after the
 * commit. An error is recorded for this owner or payment; only an unavailable database or a lost lease ends the run.
 */
async function withAccount(
  run: Run,
  what: string,
  user_id: string,
  work: (trx: Trx) => Promise<() => void>,
): Promise<PostResult> {
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

const underLease = async <Result>({ mysql, lease }: Run, work: (trx: Trx) => Promise<Result>) =>
  await inTransaction(mysql, async (trx) => {
    await assertLeaseHeld(trx, lease);
    return await work(trx);
  });
