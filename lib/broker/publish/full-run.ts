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

/** Below this many milliseconds no further page is begun. */
export const pageTimeMs = 10_000;
/** A page, its sending, and a good deal of waiting for locks. */
export const leaseSeconds = 20;

export interface FullRunDeps {
  readonly mysql: Kysely<FullRunTables>;
  readonly deliver: Deliver;
  /** The first of these kill switches that is off: a walk's name is one, and the function's. */
  readonly firstSwitchOff: FirstSwitchOff;
}

/** A walk over everything there is, in the order of ids: where it stands is a row. */
export interface FullRun {
  readonly name: string;
  /** Counts the walks of this name. */
  readonly run: number;
  /** The day, in Shanghai, for which it was begun. */
  readonly day: string;
  readonly at_id: string;
  readonly published: number;
  readonly total: number;
  readonly ended: boolean;
  /** In Shanghai: by the tick that began it, or by the database's clock. */
  readonly began_at: WallTime;
}

/** The ids after one, ascending, at most `limit`. */
export type IdSource = (after: string, limit: number) => Promise<string[]>;

/** The last walk of that name. */
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
    ...{ name, run, day, at_id, began_at },
    ...{ published: Number(published), total: Number(total), ended: ended === 1 },
  };
}

/**
 * Begins a walk, in place of the last one of its claim's name; `at` is the time of the tick that begins it. `also` is
 * of the same transaction.
 */
export async function startFullRun(
  mysql: Kysely<FullRunTables>,
  claimed: Lease,
  { day, total, at }: Pick<FullRun, 'day' | 'total'> & { readonly at?: WallTime },
  also: (trx: Transaction<FullRunTables>, walk: FullRun) => Promise<void> = async () => {},
): Promise<FullRun> {
  const { name } = claimed;
  return await inTransaction(mysql, async (trx) => {
    await assertLeaseHeld(trx, claimed);
    const last = await lastFullRun(trx, name);
    await trx
      .replaceInto('signalbox.broker_walk')
      .values({
        ...{ name, run: (last?.run ?? 0) + 1, day, at_id: '0', published: '0' },
        ...{ total: String(total), ended: 0, began_at: at ?? sql`now()` },
      })
      .execute();
    const walk = await lastFullRun(trx, name);
    if (!walk) throw new Error(`The walk ${name} is not there though it was just written.`);
    await also(trx, walk);
    return walk;
  });
}

/**
 * Does `work` as the only one who walks under that name. Who died while he did holds the claim until his lease is
 * over: a person's next attempt `waits` for that, a schedule's comes by itself.
 */
export async function withExclusiveRun<Result>(
  mysql: Kysely<FullRunTables>,
  name: string,
  work: (claimed: Lease) => Promise<Result>,
  { waits }: { readonly waits?: (ms: number) => Promise<void> } = {},
): Promise<Result | { readonly outcome: 'another publishes' | 'overtaken' }> {
  const take = () => acquireLease(mysql as never, name, leaseSeconds);
  let claimed = await take();
  for (let second = 0; waits && !claimed && second <= leaseSeconds; second++) {
    await waits(1_000);
    claimed = await take();
  }
  if (!claimed) return { outcome: 'another publishes' };
  try {
    return await work(claimed);
  } catch (error) {
    if (error instanceof LeaseLost) return { outcome: 'overtaken' };
    throw error;
  } finally {
    await claimed.release();
  }
}

/** What is walked over. */
interface RunSource {
  readonly source: Source;
  readonly ids: IdSource;
  readonly pageRowsMax: number;
  /** Those ids of a page that are published; all where it is not given. What it writes is of the page's transaction. */
  readonly fresh?: (trx: Transaction<FullRunTables>, page: readonly string[]) => Promise<string[]>;
}

interface RunLimits {
  /** Milliseconds until the function's time-out. */
  readonly remaining: () => number;
  readonly progress?: (walk: FullRun) => void;
}

export interface FullRunResult {
  readonly outcome: 'published' | 'out of time' | 'overtaken' | 'switched off';
  readonly fullRun: FullRun;
}

/**
 * Goes on with a walk to its end, or for as long as time remains: each page's messages are written in one transaction
 * with the place where the walk stands, under the claim. So each id is published once in a walk, however often and
 * wherever it is killed.
 */
export async function continueRun(
  { mysql, deliver, firstSwitchOff }: FullRunDeps,
  claimed: Lease,
  begun: FullRun,
  { source, ids, pageRowsMax, fresh = async (_, page) => [...page] }: RunSource,
  { remaining, progress = () => {} }: RunLimits,
): Promise<FullRunResult> {
  let walk = begun;
  while (!walk.ended) {
    if (await firstSwitchOff(walk.name, functionOf(walk.name)))
      return { outcome: 'switched off', fullRun: walk };
    if (remaining() < pageTimeMs) return { outcome: 'out of time', fullRun: walk };
    if (!(await claimed.renew())) return { outcome: 'overtaken', fullRun: walk };
    const page = await ids(walk.at_id, pageRowsMax);
    const before = walk;
    walk = await transactionWithOutbox({ mysql, deliver }, async (trx, follow) => {
      await assertLeaseHeld(trx, claimed);
      const changed = await fresh(trx, page);
      const next = {
        ...before,
        at_id: page.at(-1) ?? before.at_id,
        published: before.published + changed.length,
        ended: page.length < pageRowsMax,
      };
      await move(trx, next);
      follow(...messagesFor(source, changed));
      return next;
    });
    progress(walk);
  }
  return { outcome: 'published', fullRun: walk };
}

/** A walk is named by its function, and its mode if it has several. */
const functionOf = (name: string): string => name.replace(/:.*/, '');

async function move(
  trx: Transaction<FullRunTables>,
  { name, at_id, published, ended }: FullRun,
): Promise<void> {
  await trx
    .updateTable('signalbox.broker_walk')
    .set({ at_id, published: String(published), ended: ended ? 1 : 0 })
    .where('name', '=', name)
    .execute();
}

/** Ids of several places as one ascending row, each once. */
export const mergeIdSources =
  (...places: readonly IdSource[]): IdSource =>
  async (after, limit) => {
    // None of the first `limit` of all can be beyond the first `limit` of its own place.
    const pages = await Promise.all(places.map((place) => place(after, limit)));
    const all = [...new Set(pages.flat())];
    return all.toSorted((a, b) => Number(BigInt(a) - BigInt(b))).slice(0, limit);
  };
