/** Lists and changes outbox rows for a person. */
import { type Kysely, type RawBuilder, sql, type Transaction } from 'kysely';
import { cutTo } from '../cut.ts';
import { mask, maskedValue } from '../lambda/mask.ts';
import { leaseSecondsMax } from '../messaging/due-rows.ts';
import { inTransaction } from '../mysql/mysql.ts';
import type { PlatformTables } from '../tables.ts';
import { audit } from './audit.ts';
import type { ChangeOutbox, ListOutbox } from './inputs.ts';

interface Deps {
  readonly mysql: Kysely<PlatformTables>;
}

/** Due rows are sent within seconds. A row that is due for longer than this is late. */
const lateSeconds = 60;
/** The maximum size of a body that is shown. */
const shownBytesMax = 65_536;
const shownCharactersMax = 200;

/**
 * The maximum number of groups that are read. There are as many destinations as queues and events, under a few
 * switches.
 */
const groupsMax = 500;

const late = sql`now(3) - interval ${lateSeconds} second`;
const taken = sql`due_at > ${late} and due_at <= now(3) + interval ${leaseSecondsMax} second
  and due_at = taken_until and created_at <= ${late}`;

type Kind = 'refused' | 'message' | 'invalidation';
const notRefused: readonly Kind[] = ['message', 'invalidation'];

/**
 * The states of rows. A state has rows of `kinds`, under a kill switch or not.
 *
 * - `refused`: refused for a reason of its own; retried with growing backoff
 * - `late`: due for more than a minute, but not sent
 * - `taken`: being sent now, or its destination is unavailable
 * - `waiting`: not yet due, or due only a moment ago
 * - `held`: under a kill switch
 */
const states = {
  refused: { kinds: ['refused'], held: false, where: sql`true` },
  late: { kinds: notRefused, held: false, where: sql`due_at <= ${late}` },
  taken: { kinds: notRefused, held: false, where: taken },
  waiting: {
    kinds: notRefused,
    held: false,
    where: sql`due_at > ${late} and not coalesce(${taken}, false)`,
  },
  held: { kinds: ['refused', ...notRefused], held: true, where: sql`true` },
} as const satisfies Readonly<
  Record<string, { kinds: readonly Kind[]; held: boolean; where: RawBuilder<unknown> }>
>;
type State = keyof typeof states;
const problemStates: readonly State[] = ['refused', 'late', 'taken'];

interface Found {
  readonly id: string;
  readonly due: string;
  readonly state: State;
}

interface Listed {
  readonly id: string;
  readonly destination: string;
  readonly due: string;
  readonly attempts: number;
  readonly reason: string | null;
  readonly switch: string | null;
  readonly created: string;
  readonly bytes: number;
  readonly body: string | null;
}

/**
 * Lists rows that cannot be sent or are late, or with `all` every row, earliest due first, with personal data masked.
 */
export async function listOutbox({ mysql }: Deps, { to, all, max }: ListOutbox) {
  const wanted = all ? (Object.keys(states) as State[]) : problemStates;
  const found: Found[] = [];
  let isTruncated = false;
  for (const state of wanted) {
    const groups = await groupsOf(mysql, state, to);
    isTruncated ||= groups.length >= groupsMax;
    for (const group of groups) found.push(...(await rowsIn(mysql, state, group, max + 1)));
  }
  const first = found
    .toSorted((a, b) => a.due.localeCompare(b.due) || Number(a.id) - Number(b.id))
    .slice(0, max);
  return {
    outcome: 'listed' as const,
    rows: await readRows(mysql, first),
    more: isTruncated || found.length > max,
  };
}

/** Rows that are adjacent in the index by_kind, ordered by their due time. */
interface Group {
  readonly kind: Kind;
  readonly heldBy: string | null;
  readonly destination: string;
}

/** Returns the non-empty groups of one destination or of all. Each costs one index lookup, however many rows it has. */
async function groupsOf(
  mysql: Kysely<PlatformTables>,
  state: State,
  to: string | undefined,
): Promise<readonly Group[]> {
  const { kinds, held } = states[state];
  const groups: Group[] = [];
  for (const kind of kinds) {
    const switches = held ? await distinctValues(mysql, 'held_by', sql`kind = ${kind}`) : [null];
    for (const heldBy of switches) {
      const under = sql`kind = ${kind} and held_by <=> ${heldBy}`;
      const destinations =
        to === undefined ? await distinctValues(mysql, 'destination', under) : [to];
      groups.push(...destinations.map((destination) => ({ kind, heldBy, destination })));
    }
  }
  return groups.slice(0, groupsMax);
}

/** Returns the distinct values of the column of by_kind that follows the columns in `where`. */
async function distinctValues(
  mysql: Kysely<PlatformTables>,
  column: 'held_by' | 'destination',
  where: RawBuilder<unknown>,
): Promise<readonly string[]> {
  const values: string[] = [];
  while (values.length < groupsMax) {
    const { rows } = await sql<{ value: string }>`
      select ${sql.ref(column)} value from signalbox.outbox force index (by_kind)
      where ${where} and ${sql.ref(column)} > ${values.at(-1) ?? ''}
      order by ${sql.ref(column)} limit 1`.execute(mysql);
    const [first] = rows;
    if (!first) break;
    values.push(first.value);
  }
  return values;
}

async function rowsIn(
  mysql: Kysely<PlatformTables>,
  state: State,
  { kind, heldBy, destination }: Group,
  limit: number,
): Promise<readonly Found[]> {
  const { rows } = await sql<Omit<Found, 'state'>>`
    select id, due_at due from signalbox.outbox force index (by_kind)
    where kind = ${kind} and held_by <=> ${heldBy} and destination = ${destination}
      and ${states[state].where}
    order by due_at limit ${limit}`.execute(mysql);
  return rows.map((row) => ({ ...row, state }));
}

/** Returns the rows for the answer, without rows that were sent or dropped in the meantime. */
async function readRows(mysql: Kysely<PlatformTables>, found: readonly Found[]) {
  if (!found.length) return [];
  const { rows } = await sql<Listed>`
    select id, destination, due_at due, attempts, reason, held_by \`switch\`, created_at created,
      octet_length(body) bytes, if(octet_length(body) <= ${shownBytesMax}, body, null) body
    from signalbox.outbox where id in (${sql.join(found.map(({ id }) => id))})`.execute(mysql);
  const byId = new Map(rows.map((row) => [row.id, row]));
  return found.flatMap(({ id, state }) => {
    const row = byId.get(id);
    return row ? [toAnswer(row, state)] : [];
  });
}

function toAnswer({ body, bytes, reason, attempts, ...row }: Listed, state: State) {
  return {
    ...row,
    state,
    attempts: Number(attempts),
    reason: reason === null ? null : mask(reason),
    body: body === null ? `${bytes} bytes` : cutTo(maskBody(body), shownCharactersMax),
  };
}

function maskBody(body: string): string {
  try {
    return JSON.stringify(JSON.parse(body), maskedValue);
  } catch {
    return mask(body); // A body may be refused because it is not JSON.
  }
}

/**
 * Whether a row may be being sent: it was leased, or refused after it was leased, and is due again within half a
 * minute.
 */
const mayBeSent = sql<
  number | string
>`coalesce(due_at = taken_until and due_at > now(3) and due_at <= now(3) + interval ${leaseSecondsMax} second, false)`;

/** Whether a row is due in more than half a minute. Other rows are being sent, or will be sent without a person. */
const notSoon = sql`due_at > now(3) + interval ${leaseSecondsMax} second`;

/**
 * Makes rows due now, in a new version, or deletes them, and records in the same transaction who did it and why. The
 * rows are one row, or the refused rows of a destination. `retry` skips a row under a kill switch, because the switch
 * decides, and a row that is due within half a minute, because a new version of a row that is being sent would be sent
 * twice. A row that is being sent when it is deleted may still arrive: `mayBeSent` counts such rows.
 */
export async function changeOutbox({ mysql }: Deps, input: ChangeOutbox) {
  return await inTransaction(mysql, async (trx) => {
    const locked = await lockRows(trx, input);
    const [row] = locked;
    if (input.id !== undefined && !row) return { outcome: 'no-such-row' as const, rows: 0 };
    if (input.do === 'retry' && input.id !== undefined && row?.held_by)
      return { outcome: 'held' as const, rows: 0, switch: row.held_by };
    if (input.do === 'retry' && input.id !== undefined && !Number(row?.not_soon))
      return { outcome: 'already-due' as const, rows: 0 };
    const ids = locked.map(({ id }) => id);
    const sent = locked.filter((row) => Number(row.may_be_sent)).length;
    const underWay = input.do === 'drop' && sent ? { mayBeSent: sent } : {};
    if (!input.dryRun && ids.length) await change(trx, input, ids, underWay);
    const more = input.to !== undefined && (await hasMore(trx, input, ids));
    const outcome = ({ retry: 'due-now', drop: 'dropped' } as const)[input.do];
    return {
      outcome: input.dryRun ? ('dry-run' as const) : outcome,
      rows: ids.length,
      ...underWay,
      more,
    };
  });
}

const refusedTo = ({ do: verb, to }: ChangeOutbox) =>
  sql`kind = 'refused' and held_by is null and destination = ${to}
    and ${verb === 'retry' ? notSoon : sql`true`}`;

async function lockRows(trx: Transaction<PlatformTables>, input: ChangeOutbox) {
  const { id, max } = input;
  const { rows } = await sql<{
    id: string;
    held_by: string | null;
    not_soon: number | string;
    may_be_sent: number | string;
  }>`
    select id, held_by, ${notSoon} not_soon, ${mayBeSent} may_be_sent from signalbox.outbox
    where ${id === undefined ? refusedTo(input) : sql`id = ${id}`}
    order by due_at limit ${max} for update`.execute(trx);
  return rows;
}

async function change(
  trx: Transaction<PlatformTables>,
  { do: verb, to, by, why }: ChangeOutbox,
  ids: readonly string[],
  underWay: Readonly<Record<string, number>>,
): Promise<void> {
  if (verb === 'drop') await trx.deleteFrom('signalbox.outbox').where('id', 'in', ids).execute();
  else
    await trx
      .updateTable('signalbox.outbox')
      .set({ due_at: sql<string>`now(3)`, taken_until: null, version: sql<number>`version + 1` })
      .where('id', 'in', ids)
      .execute();
  const detail = { ...(to !== undefined && { to }), rows: ids.length, ...underWay, ids };
  await audit(trx, { who: by, what: `outbox/${verb}`, why, detail });
}

/** Returns whether there are more rows that match the input. */
async function hasMore(
  trx: Transaction<PlatformTables>,
  input: ChangeOutbox,
  ids: readonly string[],
): Promise<boolean> {
  const others = ids.length ? sql`and id not in (${sql.join(ids)})` : sql``;
  const { rows } = await sql`
    select 1 from signalbox.outbox where ${refusedTo(input)} ${others} limit 1`.execute(trx);
  return rows.length > 0;
}
