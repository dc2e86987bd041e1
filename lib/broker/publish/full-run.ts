/** Full runs: publish every id of some tables once, page by page, and resume after a time-out or a crash. */
import { type Kysely, sql, type Transaction } from 'kysely';
import { type Deliver, transactionWithOutbox } from '../../platform/messaging/outbox.ts';
import {
  acquireLease,
  assertLeaseHeld,
  type Lease,
  LeaseLost,
} from '../../platform/mysql/lease.ts';
import { inTransaction } from '../../platform/mysql/mysql.ts';
import type { FirstSwitchOff } from '../../platform/operations/switches.ts';
import type { WallTime } from '../../platform/time.ts';
import type { Source } from '../queues.ts';
import type { FullRunTables } from '../tables.ts';
import { messagesFor } from './event-messages.ts';

/** With fewer milliseconds left, no further page is started. */
export const pageTimeMs = 10_000;
/** Longer than a page takes to read and send, even when it has to wait for locks. */
export const leaseSeconds = 20;

export interface FullRunDeps {
  readonly mysql: Kysely<FullRunTables>;
  readonly deliver: Deliver;
  /** Returns the first given kill switch that is off; both the run's name and its function id are checked. */
  readonly firstSwitchOff: FirstSwitchOff;
}

/** One pass over everything, in the order of ids. Its row holds its cursor. */
export interface FullRun {
  readonly name: string;
  /** The number of this run among those with its name. */
  readonly run: number;
  /** The day, in Shanghai, for which it was started. */
  readonly day: string;
  /** The cursor: the last id of the last page. */
  readonly at_id: string;
  readonly published: number;
  readonly total: number;
  readonly ended: boolean;
  /** In Shanghai: the time of the tick that started it, or of the database's clock. */
  readonly began_at: WallTime;
}

/** Returns the ids after one, ascending, at most `limit`. */
export type IdSource = (after: string, limit: number) => Promise<string[]>;

/** Returns the last run with this name. */
export async function lastFullRun(
  mysql: Kysely<FullRunTables> | Transaction<FullRunTables>,
  name: string,
): Promise<FullRun | undefined> {
  const row = await mysql
    .selectFrom('signalbox.broker_walk')
    .selectAll()
    .where('name', '=', name)
    .executeTakeFirst();
  if (!row) return undefined;
  const { run, day, at_id, published, total, ended, began_at } = row;
  return {
    name,
    run,
    day,
    at_id,
    began_at,
    published: Number(published),
    total: Number(total),
    ended: ended === 1,
  };
}

/**
 * Starts a run, which replaces the last run with the lease's name. `at` is the time of the tick that starts it.
 * `alsoWrite` writes in the same transaction.
 */
export async function startFullRun(
  mysql: Kysely<FullRunTables>,
  lease: Lease,
  { day, total, at }: Pick<FullRun, 'day' | 'total'> & { readonly at?: WallTime },
  alsoWrite: (trx: Transaction<FullRunTables>, fullRun: FullRun) => Promise<void> = async () => {},
): Promise<FullRun> {
  const { name } = lease;
  return await inTransaction(mysql, async (trx) => {
    await assertLeaseHeld(trx, lease);
    const last = await lastFullRun(trx, name);
    await trx
      .replaceInto('signalbox.broker_walk')
      .values({
        name,
        run: (last?.run ?? 0) + 1,
        day,
        at_id: '0',
        published: '0',
        total: String(total),
        ended: 0,
        began_at: at ?? sql`now()`,
      })
      .execute();
    const fullRun = await lastFullRun(trx, name);
    if (!fullRun) throw new Error(`The row of the full run ${name} is missing after its insert.`);
    await alsoWrite(trx, fullRun);
    return fullRun;
  });
}

/**
 * Runs `work` under an exclusive lease. After a crash the lease must expire first: manual runs wait for it (`pause`),
 * scheduled runs simply retry at the next tick.
 */
export async function withExclusiveRun<Result>(
  mysql: Kysely<FullRunTables>,
  name: string,
  work: (lease: Lease) => Promise<Result>,
  { pause }: { readonly pause?: (ms: number) => Promise<void> } = {},
): Promise<Result | { readonly outcome: 'lease-not-acquired' | 'fenced-off' }> {
  const tryToAcquire = () => acquireLease(mysql, name, leaseSeconds);
  let lease = await tryToAcquire();
  for (let second = 0; pause && !lease && second <= leaseSeconds; second++) {
    await pause(1_000);
    lease = await tryToAcquire();
  }
  if (!lease) return { outcome: 'lease-not-acquired' };
  try {
    return await work(lease);
  } catch (error) {
    if (error instanceof LeaseLost) return { outcome: 'fenced-off' };
    throw error;
  } finally {
    await lease.release();
  }
}

/** The ids that a run publishes, and the `source` of their messages. */
interface RunSource {
  readonly source: Source;
  readonly ids: IdSource;
  readonly pageRowsMax: number;
  /** Selects the ids of a page to publish; default: all. Its writes belong to the page's transaction. */
  readonly select?: (trx: Transaction<FullRunTables>, page: readonly string[]) => Promise<string[]>;
}

interface RunLimits {
  /** Milliseconds until the function's time-out. */
  readonly remaining: () => number;
  readonly progress?: (fullRun: FullRun) => void;
}

export interface FullRunResult {
  readonly outcome: 'published' | 'out-of-time' | 'fenced-off' | 'switched-off';
  readonly fullRun: FullRun;
}

/**
 * Continues a run until it ends or time is up. Each page writes its messages and the run's cursor in one transaction
 * under the lease, so a run publishes each id exactly once, even if it crashes between any two steps.
 */
export async function continueRun(
  { mysql, deliver, firstSwitchOff }: FullRunDeps,
  lease: Lease,
  initial: FullRun,
  { source, ids, pageRowsMax, select = async (_, page) => [...page] }: RunSource,
  { remaining, progress = () => {} }: RunLimits,
): Promise<FullRunResult> {
  let fullRun = initial;
  while (!fullRun.ended) {
    if (await firstSwitchOff(fullRun.name, functionIdOf(fullRun.name)))
      return { outcome: 'switched-off', fullRun };
    if (remaining() < pageTimeMs) return { outcome: 'out-of-time', fullRun };
    if (!(await lease.renew())) return { outcome: 'fenced-off', fullRun };
    const page = await ids(fullRun.at_id, pageRowsMax);
    const before = fullRun;
    fullRun = await transactionWithOutbox({ mysql, deliver }, async (trx, follow) => {
      await assertLeaseHeld(trx, lease);
      const selected = await select(trx, page);
      const next = {
        ...before,
        at_id: page.at(-1) ?? before.at_id,
        published: before.published + selected.length,
        ended: page.length < pageRowsMax,
      };
      await saveProgress(trx, next);
      follow(...messagesFor(source, selected));
      return next;
    });
    progress(fullRun);
  }
  return { outcome: 'published', fullRun };
}

/** A run's name is its function id, followed by `:` and the mode if the function has several. */
const functionIdOf = (name: string): string => name.replace(/:.*/, '');

async function saveProgress(
  trx: Transaction<FullRunTables>,
  { name, at_id, published, ended }: FullRun,
): Promise<void> {
  await trx
    .updateTable('signalbox.broker_walk')
    .set({ at_id, published: String(published), ended: ended ? 1 : 0 })
    .where('name', '=', name)
    .execute();
}

/** Merges several id sources into one, ascending and without duplicates. */
export const mergeIdSources =
  (...idSources: readonly IdSource[]): IdSource =>
  async (after, limit) => {
    // Each of the first `limit` merged ids is among the first `limit` ids of its own source.
    const pages = await Promise.all(idSources.map((idSource) => idSource(after, limit)));
    const all = [...new Set(pages.flat())];
    return all.toSorted((a, b) => Number(BigInt(a) - BigInt(b))).slice(0, limit);
  };
