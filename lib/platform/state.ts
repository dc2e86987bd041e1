import { type Kysely, sql } from 'kysely';
import type { ReportState } from './inputs.ts';
import type { PlatformTables } from './schema.ts';
import { isFamily, listedName, type Switches } from './switches.ts';

interface StateDeps {
  readonly mysql: Kysely<PlatformTables>;
  /** The kill switches that there are. */
  readonly known: Switches;
}

/** What is due is sent within seconds; after this long something keeps it from being sent. */
const overdueSeconds = 60;

/**
 * How far behind everything is that stands in our own tables: scans, outbox, claims, switches. Ages
 * are by our database's clock, in seconds; a scan's lag compares with a stamp of the database that
 * it reads.
 */
export async function reportState({ mysql, known }: StateDeps, { allSwitches }: ReportState) {
  const set = await switches(mysql);
  return {
    outcome: 'reported',
    outbox: await outbox(mysql),
    held: await held(mysql),
    scans: await scans(mysql),
    claims: await claims(mysql),
    switches: allSwitches ? withKnown(known, set) : set,
  };
}

/**
 * `postponed` is what a consumer put off; `waiting` what was written a moment ago and goes at once;
 * `refused`, where there is any, what was refused for a reason of its own, due or not.
 */
async function outbox(mysql: Kysely<PlatformTables>) {
  const { rows } = await sql<Record<string, string | null>>`
    select coalesce(sum(held_by is null and due_at <= now(3)), 0) due,
      coalesce(sum(held_by is null and due_at <= now(3) - interval ${overdueSeconds} second), 0)
        overdue,
      timestampdiff(second, min(if(held_by is null and due_at <= now(3), due_at, null)), now(3))
        oldest,
      coalesce(sum(held_by is null and due_at > now(3) and attempts = 0 and dedupe_key is not null), 0)
        postponed,
      coalesce(sum(held_by is null and due_at > now(3) and attempts = 0 and dedupe_key is null), 0)
        waiting,
      coalesce(sum(attempts > 0), 0) refused,
      coalesce(sum(held_by is not null), 0) held
    from signalbox.outbox`.execute(mysql);
  const counts = rows[0] ?? {};
  const refused = Number(counts['refused']);
  return {
    due: Number(counts['due']),
    overdue: Number(counts['overdue']),
    oldestDueSeconds: counts['oldest'] == null ? null : Number(counts['oldest']),
    postponed: Number(counts['postponed']),
    waiting: Number(counts['waiting']),
    ...(refused && { refused }),
    held: Number(counts['held']),
  };
}

async function held(mysql: Kysely<PlatformTables>) {
  const rows = await mysql
    .selectFrom('signalbox.outbox')
    .select(({ fn, ref }) => [
      ref('held_by').as('held_by'),
      fn.countAll<string>().as('rows'),
      fn.min('created_at').as('since'),
    ])
    .where('held_by', 'is not', null)
    .groupBy('held_by')
    .orderBy('held_by')
    .execute();
  return rows.map(({ held_by, rows: count, since }) => ({
    switch: held_by,
    rows: Number(count),
    since,
  }));
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
