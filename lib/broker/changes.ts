import { type Kysely, sql } from 'kysely';
import { type Page, type Stamped, scan } from '../platform/scan.ts';
import type { Tick } from '../platform/schedule.ts';
import type { PlatformTables } from '../platform/schema.ts';
import type { Send } from '../platform/send.ts';
import { flags, idsPerMessageMax, type SentBrokerEvent, sources } from './queues.ts';
import type { BrokerSettings } from './settings.ts';
import type { UpstreamTables } from './tables.ts';

export interface ChangeDeps {
  readonly mysql: Kysely<PlatformTables>;
  readonly upstream: Kysely<UpstreamTables>;
  readonly settings: () => Promise<BrokerSettings>;
  readonly publish: Send<SentBrokerEvent>;
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
  { mysql, upstream, settings, publish }: ChangeDeps,
  table: ScannedTable,
  remaining: () => number,
) {
  const source = {
    name: `broker/publish-base-changes:${table}`,
    now: () => clock(upstream),
    read: (page: Page) => read(upstream, table, page),
  };
  return await scan({ mysql }, source, await settings(), remaining, (rows) =>
    publish(messagesFor(rows.map(({ id }) => id))),
  );
}

/** Ids in as few messages as they fit. */
function messagesFor(ids: readonly string[]): SentBrokerEvent[] {
  const messages: SentBrokerEvent[] = [];
  for (let start = 0; start < ids.length; start += idsPerMessageMax) {
    const broker_ids = ids.slice(start, start + idsPerMessageMax).join(',');
    messages.push({ broker_ids, flag: flags.updated, source: sources.base });
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
