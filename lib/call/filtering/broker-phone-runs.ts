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
/** Below this many milliseconds no further page is begun. */
const remainingMsMin = 10_000;

/**
 * Compares `broker_phone` with upstream, page by page in the order of ids, and repairs what differs: what the scan
 * cannot see, because it commits later than the overlap or is deleted, or is older than the scan itself. The first run
 * of all only fills, once for ever; then there is one comparison a day. A run that is out of time is resumed by the
 * next tick.
 */
export async function runBrokerPhoneComparison(
  deps: PhoneRunDeps,
  { at, remaining }: { readonly at: Date; readonly remaining: () => number },
  noteUnusable: NoteUnusable = () => {},
) {
  const day = wallTime(at).slice(0, 10);
  const timeLeft = () => remaining() > remainingMsMin;
  const filled = await isFilled(deps.mysql);
  if (!filled && !(await fill(deps, day, timeLeft))) return { fullRun: 'fill out of time' };
  if (await startComparison(deps.mysql, day)) await removeRowsWithoutId(deps, noteUnusable);
  const run = await continueRun(deps, 'compare', timeLeft, noteUnusable);
  const facts = { repaired: Number(run.repaired), ...(!filled && { firstRun: true }) };
  return { fullRun: run.done_at ? 'compared' : 'comparison out of time', ...facts };
}

/** Pages that a call waits for at most; a table that is longer is filled by the schedule meanwhile. */
const pagesPerCheckMax = 2;

/**
 * Makes a check that lets a call be decided only when all brokers' numbers are known: until the first full run has
 * ended it throws `Postponed`. A table of a few pages is filled at once, by the check itself.
 */
export function brokersKnownCheck(deps: PhoneRunDeps & { readonly now: () => Date }) {
  let known: Promise<boolean> | undefined;
  const look = async () => {
    if (await isFilled(deps.mysql)) return true;
    let pages = 0;
    return await fill(
      deps,
      wallTime(deps.now()).slice(0, 10),
      () => pages++ < pagesPerCheckMax,
    );
  };
  return async (): Promise<void> => {
    known ??= look();
    const found = await known.catch((error: unknown) => {
      known = undefined;
      throw error;
    });
    if (found) return;
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

/** True for the one invocation that begins the comparison of a day. */
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

/** Ids that are none come before all pages: they are named, and nobody is known by them. */
async function removeRowsWithoutId({ mysql, upstream }: PhoneRunDeps, note: NoteUnusable): Promise<void> {
  const { rows } = await sql<UpstreamPhone>`
    select BrokerId id, UserMobile phone, updated_datetime stamp from anjuke_db.ajk_brokerextend
    where BrokerId < 1 order by BrokerId limit ${rowsWithoutIdMax}`.execute(upstream);
  note(rows);
  await mysql.deleteFrom(phoneTable).where('broker_id', '<', '1').execute();
}

const findRun = (mysql: Kysely<CallTables>, name: 'fill' | 'compare') =>
  mysql.selectFrom(runTable).selectAll().where('name', '=', name).executeTakeFirst();

async function continueRun(
  deps: PhoneRunDeps,
  name: 'fill' | 'compare',
  more: () => boolean,
  noteUnusable: NoteUnusable = () => {},
) {
  const { pageRowsMax } = await deps.settings();
  for (;;) {
    const run = await findRun(deps.mysql, name);
    if (!run) throw new Error(`The run ${name} over the brokers' telephone numbers is gone.`);
    if (run.done_at || !more()) return run;
    noteUnusable(await processPage(deps, run, pageRowsMax));
  }
}

type Run = NonNullable<Awaited<ReturnType<typeof findRun>>>;

type Phone = UpstreamPhone & { readonly digits?: string };
type NoteUnusable = (rows: readonly UpstreamPhone[]) => void;
const rowsWithoutIdMax = 20;

/**
 * Ours are read before upstream's, and only what is still as it was read is repaired: what the scan has written in
 * between is newer. Another invocation may do the same page; the first one moves the run. Gives upstream's rows.
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
  const wanted = new Map(usable.map((row) => [row.broker_id, row]));
  const here = new Map(rowsUpTo(ours, upTo).map((row) => [row.id, row]));
  const absent = [...wanted.values()].filter(({ broker_id }) => !here.has(broker_id));
  const differing = [...here.values()].filter(({ id, phone, digits }) => {
    const row = wanted.get(id);
    return row?.phone !== phone || row?.digits !== digits;
  });
  // Who fills a table that was never complete deletes nothing: the comparison of the day does.
  const repairs = differing.filter(({ id }) => run.name === 'compare' || wanted.has(id));
  await inTransaction(mysql, async (trx) => {
    if (!(await advanceRun(trx, run, upTo, absent.length + repairs.length))) return;
    if (absent.length) await trx.insertInto(phoneTable).ignore().values(absent).execute();
    for (const row of repairs) await repairRow(trx, row, wanted.get(row.id));
  });
  return theirs;
}

const lastIdOf = (rows: readonly Phone[], limit: number): string =>
  (rows.length === limit && rows.at(-1)?.id) || idMax;

const lowerId = (one: string, other: string): string => (BigInt(one) < BigInt(other) ? one : other);

const rowsUpTo = (rows: readonly Phone[], id: string): readonly Phone[] =>
  rows.filter((row) => BigInt(row.id) <= BigInt(id));

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

async function repairRow(
  trx: Trx,
  { id, phone, stamp }: Phone,
  wanted: PhoneRow | undefined,
): Promise<void> {
  const asRead = sql<boolean>`broker_id = ${id} and phone = ${phone} and updated_at <=> ${stamp}`;
  if (!wanted) await trx.deleteFrom(phoneTable).where(asRead).execute();
  else
    await trx
      .updateTable(phoneTable)
      .set({ phone: wanted.phone, digits: wanted.digits, updated_at: wanted.updated_at })
      .where(asRead)
      .execute();
}
