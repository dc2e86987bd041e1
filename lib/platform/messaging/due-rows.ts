/** Finds and leases due rows of the outbox, and records why rows were refused. */
import { type Kysely, sql } from 'kysely';
import { cutTo } from '../cut.ts';
import { inTransaction } from '../mysql/mysql.ts';
import type { PlatformTables } from '../tables.ts';
import type { OutboxRow } from './outbox.ts';

/**
 * - `invalidation`: for the cache
 * - `message`: for a queue or the bus
 * - `refused`: either of them, when its sending has been refused for a reason of its own
 */
export type OutboxKind = 'invalidation' | 'message' | 'refused';

/**
 * For how many seconds a row that was taken is not taken again, should its sender die or its destination be
 * unavailable. An invalidation must have been made within ten seconds of the cache's return.
 */
const leaseSeconds = { invalidation: 4, message: 30, refused: 30 } as const;
/** A row that was taken is due again within this time. */
export const leaseSecondsMax = Math.max(...Object.values(leaseSeconds));
/** The pause after a refusal doubles from the first to the second of these. */
const shortestPauseSeconds = 30;
const longestPauseSeconds = 1_200;
/** Larger bodies are read apart from their rows, a few at a time. */
const smallBytesMax = 16_384;
const reasonLengthMax = 500;
const countedMax = 10_000;

export interface LeasedRow extends Omit<OutboxRow, 'body'> {
  readonly bytes: number;
  /** Undefined where it is large: `bodiesOf` reads it. */
  readonly body: string | undefined;
}

/**
 * The destinations with rows of a kind that are due. Each costs one step in the index, however many rows it has: no plan
 * of MySQL for a GROUP BY does that on a computed column.
 */
export async function dueDestinations(
  mysql: Kysely<PlatformTables>,
  kind: OutboxKind,
  { after, max }: { readonly after: string; readonly max: number },
): Promise<{ readonly due: readonly string[]; readonly last: string | undefined }> {
  const due: string[] = [];
  let last = after;
  for (let steps = 0; steps < max; steps++) {
    const { rows } = await sql<{ destination: string; is_due: number | string }>`
      select destination, due_at <= now(3) is_due from signalbox.outbox force index (by_kind)
      where kind = ${kind} and held_by is null and destination > ${last}
      order by destination, due_at limit 1`.execute(mysql);
    const [first] = rows;
    if (!first) return { due, last: undefined };
    last = first.destination;
    if (Number(first.is_due)) due.push(last);
  }
  return { due, last };
}

/** Moves due rows out of sight for as long as their sending may take; no lock is held while they are sent. */
export async function leaseDueRows(
  mysql: Kysely<PlatformTables>,
  { kind, destination }: { readonly kind: OutboxKind; readonly destination: string },
  limit: number,
): Promise<LeasedRow[]> {
  return await inTransaction(mysql, async (trx) => {
    const { rows } = await sql<Omit<LeasedRow, 'body'> & { body: string | null }>`
      select id, destination, version, octet_length(body) bytes,
        if(octet_length(body) <= ${smallBytesMax}, body, null) body
      from signalbox.outbox force index (by_kind)
      where kind = ${kind} and held_by is null and destination = ${destination} and due_at <= now(3)
      order by due_at limit ${limit} for update skip locked`.execute(trx);
    const until = sql<string>`now(3) + interval ${leaseSeconds[kind]} second`;
    if (rows.length)
      await trx
        .updateTable('signalbox.outbox')
        .set({ due_at: until, taken_until: until })
        .where(
          'id',
          'in',
          rows.map(({ id }) => id),
        )
        .execute();
    return rows.map(({ body, ...row }) => ({ ...row, body: body ?? undefined }));
  });
}

/** Rows with their bodies; without those that were changed since they were taken. */
export async function bodiesOf(
  mysql: Kysely<PlatformTables>,
  rows: readonly LeasedRow[],
): Promise<OutboxRow[]> {
  const found = await mysql
    .selectFrom('signalbox.outbox')
    .select(['id', 'destination', 'body', 'version'])
    .where(
      'id',
      'in',
      rows.map(({ id }) => id),
    )
    .execute();
  const versions = new Map(rows.map(({ id, version }) => [id, version]));
  return found.filter(({ id, version }) => versions.get(id) === version);
}

export interface RefusedRow {
  readonly row: Pick<OutboxRow, 'id' | 'version'>;
  readonly reason: string;
}

/** Notes that rows were refused, unless they were changed meanwhile; each waits for its own pause. */
export async function recordRefusals(
  mysql: Kysely<PlatformTables>,
  refused: readonly RefusedRow[],
): Promise<void> {
  const versions = refused.map(({ row }) => sql`(${row.id}, ${row.version})`);
  const reasons = refused.map(
    ({ row, reason }) => sql`when ${row.id} then ${cutTo(reason, reasonLengthMax)}`,
  );
  // MySQL assigns from left to right: `attempts` is still that of before the refusal.
  await sql`update signalbox.outbox
    set due_at = now(3) + interval
        least(${longestPauseSeconds}, ${shortestPauseSeconds} * pow(2, least(attempts, 10))) second,
      taken_until = due_at,
      attempts = attempts + 1,
      reason = case id ${sql.join(reasons, sql` `)} end
    where (id, version) in (${sql.join(versions)})`.execute(mysql);
}

/** How many rows have been refused, up to ten thousand. */
export async function countRefused(mysql: Kysely<PlatformTables>): Promise<number> {
  const { rows } = await sql<{ refused: number | string }>`
    select count(*) refused from (
      select 1 from signalbox.outbox force index (by_kind)
      where kind = 'refused' and held_by is null limit ${countedMax}
    ) some`.execute(mysql);
  return Number(rows[0]?.refused ?? 0);
}
