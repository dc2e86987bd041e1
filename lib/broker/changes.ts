import { type Kysely, sql } from 'kysely';
import { type Deliver, type FollowUp, toQueue } from '../platform/outbox.ts';
import { type Page, type Stamped, scan } from '../platform/scan.ts';
import type { Tick } from '../platform/schedule.ts';
import type { PlatformTables } from '../platform/schema.ts';
import { brokerEvents, flags, idsPerMessageMax, sources } from './queues.ts';
import type { BrokerSettings } from './settings.ts';
import type { UpstreamTables } from './tables.ts';

export interface ChangeDeps {
  readonly mysql: Kysely<PlatformTables>;
  readonly upstream: Kysely<UpstreamTables>;
  readonly settings: () => Promise<BrokerSettings>;
  readonly deliver: Deliver;
}

type ScannedTable = 'anjuke_db.ajk_broker' | 'anjuke_db.ajk_brokerextend';

/** Publishes the brokers whose row, or whose telephone number in the extension table, changed since the last run. */
export async function publishBaseChanges(deps: ChangeDeps, { remaining }: Pick<Tick, 'remaining'>) {
  const brokers = await publishFrom(deps, 'anjuke_db.ajk_broker', remaining);
  const extensions = await publishFrom(deps, 'anjuke_db.ajk_brokerextend', remaining);
  const changed = brokers.published + extensions.published;
  return { outcome: changed ? 'published' : 'nothing new', changed, brokers, extensions };
}

async function publishFrom(
  { mysql, upstream, settings, deliver }: ChangeDeps,
  table: ScannedTable,
  remaining: () => number,
) {
  const source = {
    name: `broker/publish-base-changes:${table}`,
    now: () => clock(upstream),
    read: (page: Page) => read(upstream, table, page),
  };
  const limits = await settings();
  return await scan({ mysql, deliver }, source, limits, remaining, (rows) =>
    messagesFor(rows.map(({ id }) => id)),
  );
}

/** Ids in as few messages as they fit. */
function messagesFor(ids: readonly string[]): FollowUp[] {
  const messages: FollowUp[] = [];
  for (let start = 0; start < ids.length; start += idsPerMessageMax) {
    const broker_ids = ids.slice(start, start + idsPerMessageMax).join(',');
    const body = { broker_ids, flag: flags.updated, source: sources.base };
    messages.push(toQueue(brokerEvents, body));
  }
  return messages;
}

async function clock(upstream: Kysely<UpstreamTables>): Promise<string> {
  const { rows } = await sql<{ now: string }>`select now() now`.execute(upstream);
  const [row] = rows;
  if (!row) throw new Error('select now() gave no row');
  return row.now;
}

/** Whole rows, so that any change of one within the same second gives it another hash. */
async function read(
  upstream: Kysely<UpstreamTables>,
  table: ScannedTable,
  { time, id, upTo, limit }: Page,
): Promise<Stamped[]> {
  const { rows } = await sql<Stamped>`
    select row_of_it.*, BrokerId id, updated_datetime stamp from ${sql.table(table)} row_of_it
    where updated_datetime between ${time} and ${upTo} and (updated_datetime > ${time} or BrokerId > ${id})
    order by updated_datetime, BrokerId limit ${limit}`.execute(upstream);
  return rows;
}
