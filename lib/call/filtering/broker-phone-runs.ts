/** Full runs over brokers' telephone numbers: the first fill of `broker_phone`, and the daily comparison. */
import { type Kysely, sql, type Transaction } from 'kysely';
import { Postponed } from '../../platform/errors.ts';
import { idMax } from '../../platform/ids.ts';
import { inTransaction } from '../../platform/mysql/mysql.ts';
import { wallTime } from '../../platform/time.ts';
import type { CallSettings } from '../settings.ts';
import type { CallTables } from '../tables.ts';
import { type PhoneRow, phoneRow, type UpstreamPhone } from './broker-phone-rows.ts';
import type { UpstreamPhones } from './upstream-phones.ts';

export interface PhoneRunDeps {
  readonly mysql: Kysely<CallTables>;
  readonly upstream: Kysely<UpstreamPhones>;
  readonly settings: () => Promise<Pick<CallSettings, 'pageRowsMax'>>;
}

type Trx = Transaction<CallTables>;

const runTable = 'user_prop_db.broker_phone_run';
const phoneTable = 'user_prop_db.broker_phone';
/** With less time left, no further page is started. */
const remainingMsMin = 10_000;

/**
 * Compares `broker_phone` with upstream, page by page in the order of ids, and repairs differences that the scan cannot
 * see: deleted rows, changes that commit later than the overlap, and rows older than the first scan. The very first run
 * only fills the table; after that there is one comparison a day. The next tick resumes a run that ran out of time.
 */
export async function runBrokerPhoneComparison(
  deps: PhoneRunDeps,
  { at, remaining }: { readonly at: Date; readonly remaining: () => number },
  collectUnusable: CollectUnusable = () => {},
) {
  const day = wallTime(at).slice(0, 10);
  const timeLeft = () => remaining() > remainingMsMin;
  const filled = await isFilled(deps.mysql);
  if (!filled && !(await fill(deps, day, timeLeft))) return { fullRun: 'fill-out-of-time' };
  if (await startComparison(deps.mysql, day)) await removeRowsWithoutId(deps, collectUnusable);
  const run = await continueRun(deps, 'compare', timeLeft, collectUnusable);
  const facts = { repaired: Number(run.repaired), ...(!filled && { firstRun: true }) };
  return { fullRun: run.done_at ? 'compared' : 'comparison-out-of-time', ...facts };
}

/** Pages that one check fills at most, so that a call does not wait long; the schedule fills a longer table. */
const pagesPerCheckMax = 2;

/**
 * Makes a check that throws `Postponed` until the first full run has ended, so that no call is decided before the
 * numbers of all brokers are known. The check itself fills a table of a few pages.
 */
export function brokersKnownCheck(deps: PhoneRunDeps & { readonly now: () => Date }) {
  let known: Promise<boolean> | undefined;
  const fillIfShort = async () => {
    if (await isFilled(deps.mysql)) return true;
    let pages = 0;
    return await fill(deps, wallTime(deps.now()).slice(0, 10), () => pages++ < pagesPerCheckMax);
  };
  return async (): Promise<void> => {
    known ??= fillIfShort();
    const isKnown = await known.catch((error: unknown) => {
      known = undefined;
      throw error;
    });
    if (isKnown) return;
    known = undefined;
    const inAMinute = new Date(deps.now().getTime() + 60_000);
    throw new Postponed(inAMinute, 'not all telephone numbers of brokers are known yet');
  };
}

async function isFilled(mysql: Kysely<CallTables>): Promise<boolean> {
  return Boolean((await findRun(mysql, 'fill'))?.done_at);
}

async function fill(deps: PhoneRunDeps, day: string, more: () => boolean): Promise<boolean> {
  await deps.mysql.insertInto(runTable).ignore().values({ name: 'fill', day }).execute();
  return Boolean((await continueRun(deps, 'fill', more)).done_at);
}

/** Starts the comparison of a day. Returns true for the one invocation that started it. */
async function startComparison(mysql: Kysely<CallTables>, day: string): Promise<boolean> {
  const first = await mysql
    .insertInto(runTable)
    .ignore()
    .values({ name: 'compare', day })
    .executeTakeFirst();
  const next = await mysql
    .updateTable(runTable)
    .set({ day, after_id: '0', repaired: '0', done_at: null })
    .where('name', '=', 'compare')
    .where('day', '<', day)
    .executeTakeFirst();
  return Boolean(first.numInsertedOrUpdatedRows) || next.numUpdatedRows > 0n;
}

/** Collects upstream's rows with an invalid id, which no page covers, and deletes our rows with one. */
async function removeRowsWithoutId(
  { mysql, upstream }: PhoneRunDeps,
  collectUnusable: CollectUnusable,
): Promise<void> {
  const { rows } = await sql<UpstreamPhone>`
    select BrokerId id, UserMobile phone, updated_datetime stamp from anjuke_db.ajk_brokerextend
    where BrokerId < 1 order by BrokerId limit ${rowsWithoutIdMax}`.execute(upstream);
  collectUnusable(rows);
  await mysql.deleteFrom(phoneTable).where('broker_id', '<', '1').execute();
}

const findRun = (mysql: Kysely<CallTables>, name: 'fill' | 'compare') =>
  mysql.selectFrom(runTable).selectAll().where('name', '=', name).executeTakeFirst();

async function continueRun(
  deps: PhoneRunDeps,
  name: 'fill' | 'compare',
  more: () => boolean,
  collectUnusable: CollectUnusable = () => {},
) {
  const { pageRowsMax } = await deps.settings();
  for (;;) {
    const run = await findRun(deps.mysql, name);
    if (!run)
      throw new Error(`broker_phone_run has no row for the run ${name}, which was started before.`);
    if (run.done_at || !more()) return run;
    collectUnusable(await processPage(deps, run, pageRowsMax));
  }
}

type Run = NonNullable<Awaited<ReturnType<typeof findRun>>>;

type Phone = UpstreamPhone & { readonly digits?: string };
type CollectUnusable = (rows: readonly UpstreamPhone[]) => void;
const rowsWithoutIdMax = 20;

/**
 * Compares one page and returns upstream's rows. Reads our rows before upstream's, and repairs only rows that are
 * unchanged since, because what the scan wrote meanwhile is newer. If two invocations process the same page, only the
 * first one advances the run and writes.
 */
async function processPage(
  { mysql, upstream }: PhoneRunDeps,
  run: Run,
  limit: number,
): Promise<readonly UpstreamPhone[]> {
  const ours = await mysql
    .selectFrom(phoneTable)
    .select(['broker_id as id', 'phone', 'digits', 'updated_at as stamp'])
    .where('broker_id', '>', run.after_id)
    .orderBy('broker_id')
    .limit(limit)
    .execute();
  const { rows: theirs } = await sql<Phone>`
    select BrokerId id, UserMobile phone, updated_datetime stamp from anjuke_db.ajk_brokerextend
    where BrokerId > ${run.after_id} order by BrokerId limit ${limit}`.execute(upstream);
  const upTo = lowerId(lastIdOf(ours, limit), lastIdOf(theirs, limit));
  const usable = rowsUpTo(theirs, upTo).flatMap((row) => phoneRow(row) ?? []);
  const expected = new Map(usable.map((row) => [row.broker_id, row]));
  const existing = new Map(rowsUpTo(ours, upTo).map((row) => [row.id, row]));
  const missing = [...expected.values()].filter(({ broker_id }) => !existing.has(broker_id));
  const differing = [...existing.values()].filter(({ id, phone, digits }) => {
    const row = expected.get(id);
    return row?.phone !== phone || row?.digits !== digits;
  });
  // The first fill deletes nothing; the comparison that follows does.
  const repairs = differing.filter(({ id }) => run.name === 'compare' || expected.has(id));
  await inTransaction(mysql, async (trx) => {
    if (!(await advanceRun(trx, run, upTo, missing.length + repairs.length))) return;
    if (missing.length) await trx.insertInto(phoneTable).ignore().values(missing).execute();
    for (const row of repairs) await repairRow(trx, row, expected.get(row.id));
  });
  return theirs;
}

const lastIdOf = (rows: readonly Phone[], limit: number): string =>
  (rows.length === limit && rows.at(-1)?.id) || idMax;

const lowerId = (one: string, other: string): string => (BigInt(one) < BigInt(other) ? one : other);

const rowsUpTo = (rows: readonly Phone[], id: string): readonly Phone[] =>
  rows.filter((row) => BigInt(row.id) <= BigInt(id));

/** Moves the run past the page. Returns false if another invocation has done so. */
async function advanceRun(trx: Trx, run: Run, upTo: string, repaired: number): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable(runTable)
    .set({ after_id: upTo, repaired: sql<string>`repaired + ${repaired}` })
    .set(upTo === idMax ? { done_at: sql<string>`now(3)` } : {})
    .where('name', '=', run.name)
    .where('day', '=', run.day)
    .where('after_id', '=', run.after_id)
    .where('done_at', 'is', null)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** Makes our row equal to upstream's, or deletes it, unless it has changed since it was read. */
async function repairRow(
  trx: Trx,
  { id, phone, stamp }: Phone,
  expected: PhoneRow | undefined,
): Promise<void> {
  const asRead = sql<boolean>`broker_id = ${id} and phone = ${phone} and updated_at <=> ${stamp}`;
  if (!expected) await trx.deleteFrom(phoneTable).where(asRead).execute();
  else
    await trx
      .updateTable(phoneTable)
      .set({ phone: expected.phone, digits: expected.digits, updated_at: expected.updated_at })
      .where(asRead)
      .execute();
}
