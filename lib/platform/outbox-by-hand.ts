import { type Kysely, type RawBuilder, sql, type Transaction } from 'kysely';
import { audit } from './audit.ts';
import { cutTo } from './cut.ts';
import type { ChangeOutbox, ListOutbox } from './inputs.ts';
import { mask, maskedValue } from './mask.ts';
import { inTransaction } from './mysql.ts';
import type { PlatformTables } from './schema.ts';

interface Deps {
  readonly mysql: Kysely<PlatformTables>;
}

/** What is due is sent within seconds; after this long something keeps it from being sent. */
const lateSeconds = 60;
/** Longer bodies are not shown. */
const shownBytesMax = 65_536;
const shownCharactersMax = 200;

const late = sql`now(3) - interval ${lateSeconds} second`;
const free = sql`held_by is null and attempts = 0`;

/**
 * - `refused`: for a reason of its own; it is tried again after growing pauses
 * - `late`: due for more than a minute, and not sent
 * - `taken`: being sent at this moment, or its destination is unavailable
 * - `waiting`: its time is to come, or came a moment ago
 * - `held`: under a kill switch
 *
 * Each has the index that finds its rows, so that a full outbox is not read.
 */
const states = {
  refused: { index: 'by_kind', where: sql`kind = 'refused' and held_by is null` },
  late: { index: 'by_due', where: sql`${free} and due_at <= ${late}` },
  taken: {
    index: 'by_due',
    where: sql`${free} and due_at > ${late} and due_at = taken_until and created_at <= ${late}`,
  },
  waiting: {
    index: 'by_due',
    where: sql`${free} and due_at > ${late} and not (due_at <=> taken_until and created_at <= ${late})`,
  },
  held: { index: 'by_due', where: sql`held_by is not null` },
} as const;
type State = keyof typeof states;
const troubled: readonly State[] = ['refused', 'late', 'taken'];

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

/** Lists rows that cannot be sent or are late, with `all` every row, the earliest due first; personal data masked. */
export async function listOutbox({ mysql }: Deps, { to, all, max }: ListOutbox) {
  const wanted = all ? (Object.keys(states) as State[]) : troubled;
  const found: ReturnType<typeof shown>[] = [];
  let more = false;
  for (const state of wanted) {
    const rows = await rowsIn(mysql, state, to, max + 1);
    more ||= rows.length > max;
    found.push(...rows.map((row) => shown(row, state)));
  }
  const sorted = found.toSorted(
    (a, b) => a.due.localeCompare(b.due) || Number(a.id) - Number(b.id),
  );
  return { outcome: 'listed', rows: sorted.slice(0, max), more: more || sorted.length > max };
}

async function rowsIn(
  mysql: Kysely<PlatformTables>,
  state: State,
  to: string | undefined,
  limit: number,
): Promise<readonly Listed[]> {
  const { index, where } = states[state];
  const { rows } = await sql<Listed>`
    select id, destination, due_at due, attempts, reason, held_by \`switch\`, created_at created,
      octet_length(body) bytes, if(octet_length(body) <= ${shownBytesMax}, body, null) body
    from signalbox.outbox force index (${sql.ref(index)})
    where ${where} ${onlyTo(to)} order by due_at limit ${limit}`.execute(mysql);
  return rows;
}

const onlyTo = (to: string | undefined): RawBuilder<unknown> =>
  to === undefined ? sql`` : sql`and destination = ${to}`;

function shown({ body, bytes, reason, attempts, ...row }: Listed, state: State) {
  return {
    ...row,
    state,
    attempts: Number(attempts),
    reason: reason === null ? null : mask(reason),
    body: body === null ? `${bytes} bytes` : cutTo(masked(body), shownCharactersMax),
  };
}

function masked(body: string): string {
  try {
    return JSON.stringify(JSON.parse(body), maskedValue);
  } catch {
    return mask(body); // It may be refused because it is no JSON.
  }
}

/**
 * Makes rows due now, in a new version, or deletes them, and notes in the same transaction who did it and why: one row,
 * or those of a destination that were refused. A row under a kill switch is not made due: the switch decides.
 */
export async function changeOutbox({ mysql }: Deps, input: ChangeOutbox) {
  return await inTransaction(mysql, async (trx) => {
    const chosen = await lockRows(trx, input);
    const [row] = chosen;
    if (input.id !== undefined && !row) return { outcome: 'no such row', rows: 0 };
    if (input.do === 'retry' && input.id !== undefined && row?.held_by)
      return { outcome: 'held', rows: 0, switch: row.held_by };
    const ids = chosen.map(({ id }) => id);
    if (!input.dryRun && ids.length) await change(trx, input, ids);
    const more = input.to !== undefined && (await hasMore(trx, input, ids));
    const outcome = { retry: 'due now', drop: 'dropped' }[input.do];
    return { outcome: input.dryRun ? 'dry run' : outcome, rows: ids.length, more };
  });
}

const refusedTo = (to: string | undefined) =>
  sql`kind = 'refused' and held_by is null and destination = ${to}`;

async function lockRows(trx: Transaction<PlatformTables>, { id, to, max }: ChangeOutbox) {
  const { rows } = await sql<{ id: string; held_by: string | null }>`
    select id, held_by from signalbox.outbox
    where ${id === undefined ? refusedTo(to) : sql`id = ${id}`}
    order by due_at limit ${max} for update`.execute(trx);
  return rows;
}

async function change(
  trx: Transaction<PlatformTables>,
  { do: verb, to, by, why }: ChangeOutbox,
  ids: readonly string[],
): Promise<void> {
  if (verb === 'drop') await trx.deleteFrom('signalbox.outbox').where('id', 'in', ids).execute();
  else
    await trx
      .updateTable('signalbox.outbox')
      .set({ due_at: sql<string>`now(3)`, taken_until: null, version: sql<number>`version + 1` })
      .where('id', 'in', ids)
      .execute();
  const detail = { ...(to !== undefined && { to }), rows: ids.length, ids };
  await audit(trx, { who: by, what: `outbox/${verb}`, why, detail });
}

/** Whether other rows of the destination were refused than those that were chosen. */
async function hasMore(
  trx: Transaction<PlatformTables>,
  { to }: ChangeOutbox,
  ids: readonly string[],
): Promise<boolean> {
  const others = ids.length ? sql`and id not in (${sql.join(ids)})` : sql``;
  const { rows } = await sql`
    select 1 from signalbox.outbox where ${refusedTo(to)} ${others} limit 1`.execute(trx);
  return rows.length > 0;
}
