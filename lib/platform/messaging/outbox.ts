/** Writes what must follow a commit in its transaction, and sends it after the commit. */
import { createHash } from 'node:crypto';
import { type Kysely, sql, type Transaction } from 'kysely';
import type { Postponed } from '../errors.ts';
import { variable } from '../lambda/config.ts';
import { reportFailure } from '../lambda/log.ts';
import { inTransaction } from '../mysql/mysql.ts';
import { queueVariable } from '../names.ts';
import type { PlatformTables } from '../tables.ts';
import { wallTimeMs } from '../time.ts';
import { jsonOf } from './characters.ts';
import type { BusEvent } from './event.ts';
import type { Queue, QueueName } from './queue.ts';
import { queueUrlOf, sendEntries } from './send.ts';

/** `queue:<id>`, `event:<name>`, or `invalidate` for the cache (lib/platform/cache/invalidation.ts). */
type Destination = `queue:${string}` | `event:${string}` | 'invalidate';

/** Something that must follow a commit. */
export interface OutboxEntry {
  readonly destination: Destination;
  readonly body: string;
  /** Not before this; at once where neither is given. */
  readonly dueAt?: Date;
  /** The same, counted from the commit by the database's clock. */
  readonly afterSeconds?: number;
}

/** A message that must follow a commit. */
export function toQueue<Message, Sent>(
  { id }: Queue<Message, Sent>,
  message: Sent,
  dueAt?: Date,
): OutboxEntry {
  return { destination: `queue:${id}`, body: jsonOf(message), ...(dueAt && { dueAt }) };
}

/** An event that must follow a commit. */
export function toBus<Body, Sent>({ event }: BusEvent<Body, Sent>, body: Sent): OutboxEntry {
  return { destination: `event:${event}`, body: jsonOf(body) };
}

export interface OutboxRow {
  readonly id: string;
  readonly destination: string;
  readonly body: string;
  readonly version: number;
}

/** Sends rows and returns those that were accepted. It does not throw for what was not, and can say why it was not. */
export type Deliver = (
  rows: readonly OutboxRow[],
  refused?: (row: OutboxRow, error: Error) => void,
) => Promise<OutboxRow[]>;

/**
 * Rows that are sent at once belong to the writer for this long; then platform/deliver-due treats them as abandoned.
 */
const ownSeconds = 3;

/**
 * Runs `body` in a transaction together with what must follow it, and sends that after the commit. Should the process
 * die in between, or the sending fail, `platform/deliver-due` sends it within seconds: delivery is at least once and
 * unordered.
 */
export async function transactionWithOutbox<Tables extends PlatformTables, Result>(
  { mysql, deliver }: { readonly mysql: Kysely<Tables>; readonly deliver: Deliver },
  body: (
    trx: Transaction<Tables>,
    follow: (...followUps: OutboxEntry[]) => void,
  ) => Promise<Result>,
): Promise<Result> {
  const { result, rows } = await inTransaction(mysql, async (trx) => {
    const followUps: OutboxEntry[] = [];
    const answer = await body(trx, (...more) => void followUps.push(...more));
    const platform = trx as unknown as Transaction<PlatformTables>;
    return { result: answer, rows: await write(platform, followUps) };
  });
  if (rows.length) await deliverRows(mysql as unknown as Kysely<PlatformTables>, deliver, rows);
  return result;
}

const rowsPerStatementMax = 500;

/** Returns the rows that go at once. */
async function write(
  trx: Transaction<PlatformTables>,
  followUps: readonly OutboxEntry[],
): Promise<OutboxRow[]> {
  const rows: OutboxRow[] = [];
  for (let start = 0; start < followUps.length; start += rowsPerStatementMax) {
    const part = followUps.slice(start, start + rowsPerStatementMax);
    const { insertId = 0n } = await trx
      .insertInto('signalbox.outbox')
      .values(
        part.map(({ destination, body, dueAt, afterSeconds = ownSeconds }) => ({
          destination,
          body,
          due_at: dueAt ? wallTimeMs(dueAt) : sql<string>`now(3) + interval ${afterSeconds} second`,
        })),
      )
      .executeTakeFirstOrThrow();
    const step = part.length > 1 ? await stepOf(trx) : 1n;
    for (const [index, { destination, body, dueAt, afterSeconds }] of part.entries())
      if (!dueAt && afterSeconds === undefined)
        rows.push({ id: String(insertId + step * BigInt(index)), destination, body, version: 1 });
  }
  return rows;
}

/**
 * From one id to the next of rows that one statement inserts. InnoDB reserves the ids of such a statement together,
 * whatever its auto-increment mode.
 */
async function stepOf(trx: Transaction<PlatformTables>): Promise<bigint> {
  const { rows } = await sql<{
    step: number | string;
  }>`select @@auto_increment_increment step`.execute(trx);
  return BigInt(rows[0]?.step ?? 1);
}

/** Sends rows, deletes those that were accepted, each only in the version that was sent, and returns these. */
export async function deliverRows(
  mysql: Kysely<PlatformTables>,
  deliver: Deliver,
  rows: readonly OutboxRow[],
  refused?: (row: OutboxRow, error: Error) => void,
): Promise<OutboxRow[]> {
  const accepted = await deliver(rows, refused);
  if (accepted.length) {
    const sent = accepted.map(({ id, version }) => sql`(${id}, ${version})`);
    await sql`delete from signalbox.outbox where (id, version) in (${sql.join(sent)})`.execute(
      mysql,
    );
  }
  return accepted;
}

/** The key of the one row that a message has while it is postponed. */
export const postponedKey = ({ id }: QueueName, body: string): Buffer =>
  createHash('sha256').update(`queue:${id}\n${body}`).digest();

/**
 * What a consumer does with a message that must wait: one row for it however often it comes, at the earliest of the
 * times that were named. Under a switch it waits until that is lifted, unless it was lifted this moment.
 *
 * The row may be there because platform/deliver-due has sent it and not deleted it yet. Its `due_at` then only says when
 * it is sent again should the sending have failed: the time named now takes its place. That its sending was refused
 * before no longer counts, because the message has arrived.
 */
export async function postpone(
  mysql: Kysely<PlatformTables>,
  { id }: QueueName,
  body: string,
  { until, heldBy }: Postponed,
): Promise<void> {
  const destination: Destination = `queue:${id}`;
  const dedupe_key = postponedKey({ id }, body);
  await inTransaction(mysql, async (trx) => {
    const held_by = heldBy && (await isOff(trx, heldBy)) ? heldBy : null;
    const lifted = heldBy && !held_by;
    await trx
      .insertInto('signalbox.outbox')
      .values({
        destination,
        body,
        due_at: lifted ? sql<string>`now(3)` : wallTimeMs(until),
        held_by,
        dedupe_key,
      })
      .onDuplicateKeyUpdate({
        due_at: sql`if(due_at = taken_until, values(due_at), least(due_at, values(due_at)))`,
        taken_until: null,
        held_by: sql`values(held_by)`,
        attempts: 0,
        reason: null,
        version: sql`version + 1`,
      })
      .execute();
  });
}

/** Locked against its change until the row that it holds is written: else that row might never be freed. */
async function isOff(trx: Transaction<PlatformTables>, name: string): Promise<boolean> {
  const row = await trx
    .selectFrom('signalbox.switch')
    .select('state')
    .where('name', '=', name)
    .forShare()
    .executeTakeFirst();
  return row?.state === 'off';
}

/** A way out: which destinations it takes, and how bodies go there; for each the error with which it was refused. */
export interface Channel {
  readonly takes: (destination: string) => boolean;
  readonly send: (
    destination: string,
    bodies: readonly string[],
  ) => Promise<readonly (Error | undefined)[]>;
}

const queuePrefix = 'queue:';
const queueNamed = (destination: string): QueueName => ({
  id: destination.slice(queuePrefix.length) as QueueName['id'],
});
const entriesOf = (bodies: readonly string[]) => bodies.map((body) => ({ MessageBody: body }));

/** The queues that this function `sends` to. */
export function queueChannel(...names: readonly QueueName[]): Channel {
  const urls = new Map(names.map(({ id }) => [queuePrefix + id, variable(queueVariable(id))]));
  return {
    takes: (destination) => urls.has(destination),
    send: (destination, bodies) =>
      sendEntries(queueNamed(destination), urls.get(destination) ?? '', entriesOf(bodies)),
  };
}

/** Any queue of the product, by its name. */
export function queuesByName(): Channel {
  const urls = new Map<string, Promise<string>>();
  const urlOf = (queue: QueueName): Promise<string> => {
    const url = urls.get(queue.id) ?? queueUrlOf(queue);
    urls.set(queue.id, url);
    url.catch(() => urls.delete(queue.id));
    return url;
  };
  return {
    takes: (destination) => destination.startsWith(queuePrefix),
    send: async (destination, bodies) => {
      const queue = queueNamed(destination);
      return await sendEntries(queue, await urlOf(queue), entriesOf(bodies));
    },
  };
}

/** Sends each row by the first channel that takes it; what none takes, or a channel throws for, is left where it is. */
export function deliverBy(...channels: readonly Channel[]): Deliver {
  return async (rows, refused) => {
    const groups = Map.groupBy(rows, ({ destination }) => destination);
    const accepted = await Promise.all(
      Array.from(groups, async ([destination, group]) => {
        const errors = await send(destination, group);
        for (const [index, row] of group.entries()) {
          const error = errors[index];
          if (error) refused?.(row, error);
        }
        return group.filter((_, index) => errors[index] === undefined);
      }),
    );
    return accepted.flat();
  };

  async function send(
    destination: string,
    rows: readonly OutboxRow[],
  ): Promise<readonly (Error | undefined)[]> {
    const detail = { destination, rows: rows.length };
    try {
      const channel = channels.find(({ takes }) => takes(destination));
      if (!channel) throw new Error(`This function does not send to ${destination}.`);
      const errors = await channel.send(
        destination,
        rows.map(({ body }) => body),
      );
      const first = errors.find((error) => error !== undefined);
      if (first) reportFailure('not-delivered', detail, first);
      return errors;
    } catch (error) {
      reportFailure('not-delivered', detail, error);
      return rows.map(() => error as Error);
    }
  }
}
