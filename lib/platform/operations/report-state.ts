import { type Kysely, type RawBuilder, sql } from 'kysely';
import { holders } from '../messaging/held-rows.ts';
import type { PlatformTables } from '../tables.ts';
import type { ReportState } from './inputs.ts';
import { isFamily, listedName, type Switches } from './switches.ts';

interface StateDeps {
  readonly mysql: Kysely<PlatformTables>;
  /** The kill switches that there are. */
  readonly known: Switches;
}

/** What is due is sent within seconds; after this long something keeps it from being sent. */
const overdueSeconds = 60;
/** No count reads more rows, so that a full outbox is reported within the time of a statement. */
const countedMax = 10_000;

/**
 * How far behind everything is that stands in our own tables: scans, outbox, claims, switches. Ages
 * are by our database's clock, in seconds; a scan's lag compares with a stamp of the database that
 * it reads.
 */
export async function reportState({ mysql, known }: StateDeps, { allSwitches }: ReportState) {
  const set = await switches(mysql);
  return {
    outcome: 'reported' as const,
    outbox: await outbox(mysql),
    held: await held(mysql),
    scans: await scans(mysql),
    claims: await claims(mysql),
    switches: allSwitches ? withKnown(known, set) : set,
  };
}

/**
 * `postponed` is what a consumer postponed; `waiting` what was written a moment ago and goes at once;
 * `refused`, where there is any, what was refused for a reason of its own, due or not. Where `more` is true a count of
 * ten thousand means at least as many; `postponed` and `waiting` are those of the next ten thousand rows.
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

/** Reads no more rows than it counts. */
const countOf = (index: 'by_due' | 'by_kind', where: RawBuilder<unknown>) =>
  sql`(select count(*) from (
    select 1 from signalbox.outbox force index (${sql.ref(index)}) where ${where} limit ${countedMax}) counted)`;

/** `since` is when the earliest of the counted rows was written. */
async function held(mysql: Kysely<PlatformTables>) {
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
    // A run that was out of time is resumed at the next tick.
    run: bound === null ? 'ended' : 'unfinished',
  }));
}

/** Only those that someone holds now. */
async function claims(mysql: Kysely<PlatformTables>) {
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

type Set = Awaited<ReturnType<typeof switches>>[number];

/**
 * All kill switches with what they stop: those that there are, in their order, then those that were set and are of a
 * family, or no switch any more. One that was never set is on; a family has no state of its own.
 */
function withKnown(known: Switches, set: readonly Set[]) {
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
