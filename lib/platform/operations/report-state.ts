/** Reports the state of the platform's own tables for a person. */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { holders } from '../messaging/held-rows.ts';
import type { PlatformTables } from '../tables.ts';
import type { ReportState } from './inputs.ts';
import { isFamily, listedName, type Switches } from './switches.ts';

interface StateDeps {
  readonly mysql: Kysely<PlatformTables>;
  /** The existing kill switches. */
  readonly known: Switches;
}

/** Due rows are sent within seconds. A row that is due for longer than this is overdue. */
const overdueSeconds = 60;
/** The maximum number of rows that a count reads, so that a full outbox is reported within the statement timeout. */
const countedMax = 10_000;

/**
 * Reports the backlog in our own tables: scans, outbox, leases, kill switches. Ages are in seconds by our database's
 * clock. The lag of a scan is relative to a timestamp of the database that it reads.
 */
export async function reportState({ mysql, known }: StateDeps, { allSwitches }: ReportState) {
  const set = await switches(mysql);
  return {
    outcome: 'reported' as const,
    outbox: await outbox(mysql),
    held: await heldRows(mysql),
    scans: await scans(mysql),
    claims: await leases(mysql),
    switches: allSwitches ? withKnown(known, set) : set,
  };
}

/**
 * Counts outbox rows. `postponed` rows were postponed by a consumer; `waiting` rows were written a moment ago and are
 * sent at once; `refused` rows, shown if there are any, were refused for a reason of their own, due or not. If `more`
 * is true a count of ten thousand means at least as many. `postponed` and `waiting` count only the next ten thousand
 * rows.
 */
async function outbox(mysql: Kysely<PlatformTables>) {
  const due = sql`held_by is null and due_at <= now(3)`;
  const overdue = sql`held_by is null and due_at <= now(3) - interval ${overdueSeconds} second`;
  const { rows } = await sql<Record<string, string | null>>`
    select ${countOf('by_due', due)} due, ${countOf('by_due', overdue)} overdue,
      (select timestampdiff(second, due_at, now(3)) from signalbox.outbox force index (by_due)
        where ${due} order by due_at limit 1) oldest,
      ${countOf('by_kind', sql`kind = 'refused'`)} refused,
      ${countOf('by_due', sql`held_by is not null`)} held,
      coalesce(sum(attempts = 0 and dedupe_key is not null), 0) postponed,
      coalesce(sum(attempts = 0 and dedupe_key is null), 0) waiting, count(*) next
    from (
      select attempts, dedupe_key from signalbox.outbox force index (by_due)
      where held_by is null and due_at > now(3) order by due_at limit ${countedMax}
    ) some`.execute(mysql);
  const counts = rows[0] ?? {};
  const count = (name: string) => Number(counts[name]);
  const more = ['due', 'refused', 'held', 'next'].some((name) => count(name) >= countedMax);
  return {
    due: count('due'),
    overdue: count('overdue'),
    oldestDueSeconds: counts['oldest'] == null ? null : count('oldest'),
    postponed: count('postponed'),
    waiting: count('waiting'),
    ...(count('refused') && { refused: count('refused') }),
    held: count('held'),
    ...(more && { more }),
  };
}

/** Returns a count that reads no more rows than it counts. */
const countOf = (index: 'by_due' | 'by_kind', where: RawBuilder<unknown>) =>
  sql`(select count(*) from (
    select 1 from signalbox.outbox force index (${sql.ref(index)}) where ${where} limit ${countedMax}) counted)`;

/** Counts the rows under each kill switch. `since` is the creation time of the earliest counted row. */
async function heldRows(mysql: Kysely<PlatformTables>) {
  const found: { readonly switch: string; readonly rows: number; readonly since: string }[] = [];
  for (const { name } of await holders(mysql)) {
    const { rows } = await sql<{ rows: string; since: string }>`
      select count(*) \`rows\`, min(created_at) since from (
        select created_at from signalbox.outbox force index (by_due)
        where held_by = ${name} order by due_at limit ${countedMax}
      ) some`.execute(mysql);
    for (const row of rows) found.push({ switch: name, rows: Number(row.rows), since: row.since });
  }
  return found;
}

async function scans(mysql: Kysely<PlatformTables>) {
  const rows = await mysql
    .selectFrom('signalbox.scan_cursor')
    .select(['name', 'complete_to', 'bound'])
    .select(sql<string>`timestampdiff(second, complete_to, now())`.as('lag'))
    .orderBy('name')
    .execute();
  return rows.map(({ name, complete_to, bound, lag }) => ({
    scan: name,
    lagSeconds: Number(lag),
    completeTo: complete_to,
    // A run that ran out of time is resumed at the next tick.
    run: bound === null ? 'ended' : 'unfinished',
  }));
}

/**
 * Returns the leases that have not expired. The answer keeps the field names `claim` and `epoch` (the fencing token).
 */
async function leases(mysql: Kysely<PlatformTables>) {
  const rows = await mysql
    .selectFrom('signalbox.claim')
    .select(['name', 'epoch'])
    .select(sql<string>`timestampdiff(second, now(3), held_until)`.as('left'))
    .where('held_until', '>', sql<string>`now(3)`)
    .orderBy('name')
    .execute();
  return rows.map(({ name, epoch, left }) => ({
    claim: name,
    epoch,
    secondsLeft: Number(left),
  }));
}

async function switches(mysql: Kysely<PlatformTables>) {
  const rows = await mysql
    .selectFrom('signalbox.switch')
    .select(['name', 'state', 'by', 'at', 'why'])
    .orderBy('name')
    .execute();
  return rows.map(({ name, ...row }) => ({ switch: name, ...row }));
}

type SetSwitch = Awaited<ReturnType<typeof switches>>[number];

/**
 * Returns all kill switches with what they stop: the known ones in their order, then others that were set, which are
 * members of a family or no longer exist. A switch that was never set is on; a family has no state of its own.
 */
function withKnown(known: Switches, set: readonly SetSwitch[]) {
  const byName = new Map(set.map((row) => [row.switch, row]));
  const never = { by: null, at: null, why: null };
  const listed = Object.entries(known).map(([name, stops]) => {
    const state = isFamily(name) ? null : 'on';
    return { switch: name, state, ...never, ...byName.get(name), stops };
  });
  const others = set
    .filter((row) => !Object.hasOwn(known, row.switch))
    .map((row) => {
      const family = listedName(known, row.switch);
      return { ...row, stops: known[family ?? ''] ?? 'nothing: there is no such switch' };
    });
  return [...listed, ...others];
}
