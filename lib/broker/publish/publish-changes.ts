/** Publishes the rows that changed upstream since the last run: brokers, companies and stores. */
import { type Kysely, sql } from 'kysely';
import { isId } from '../../platform/ids.ts';
import type { Outcome } from '../../platform/lambda/log.ts';
import type { Tick } from '../../platform/lambda/schedule.ts';
import type { Deliver } from '../../platform/messaging/outbox.ts';
import {
  type Page,
  type Scanned,
  type Stamped,
  scan,
  setFirstCursor,
} from '../../platform/messaging/scan.ts';
import type { FirstSwitchOff } from '../../platform/operations/switches.ts';
import type { PlatformTables } from '../../platform/tables.ts';
import { type Source, sources } from '../queues.ts';
import type { BrokerSettings } from '../settings.ts';
import type { BrokerSwitch } from '../switches.ts';
import type { UpstreamTables } from '../tables.ts';
import { messagesFor } from './event-messages.ts';

export interface ChangeDeps {
  readonly mysql: Kysely<PlatformTables>;
  readonly upstream: Kysely<UpstreamTables>;
  readonly settings: () => Promise<BrokerSettings>;
  readonly deliver: Deliver;
  /** The function id of a producer is also its kill switch. */
  readonly firstSwitchOff: FirstSwitchOff<BrokerSwitch>;
}

interface ScannedTable {
  /** The id of the function that scans the table, which is also its kill switch. */
  readonly functionId: BrokerSwitch;
  readonly table: keyof UpstreamTables;
  readonly key: string;
  readonly source: Source;
}

const scannedTables = {
  brokers: {
    functionId: 'broker/publish-base-changes',
    table: 'anjuke_db.ajk_broker',
    key: 'BrokerId',
    source: sources.base,
  },
  extensions: {
    functionId: 'broker/publish-base-changes',
    table: 'anjuke_db.ajk_brokerextend',
    key: 'BrokerId',
    source: sources.base,
  },
  companies: {
    functionId: 'broker/publish-company-changes',
    table: 'anjuke_db.ajk_company',
    key: 'CompanyId',
    source: sources.company,
  },
  stores: {
    functionId: 'broker/publish-store-changes',
    table: 'anjuke_db.ajk_store',
    key: 'StoreId',
    source: sources.store,
  },
} as const satisfies Record<string, ScannedTable>;

type Remaining = Pick<Tick, 'remaining'>;

type PublishedChanges = Scanned & {
  /** Ids of changed rows that no message may carry (0, negative). They are left out, and named for upstream's owner. */
  readonly unusable?: readonly string[];
};
/** The most unusable ids that are named. */
const namedMax = 20;

/** Publishes the brokers whose row, or whose telephone number in the extension table, changed since the last run. */
export async function publishBaseChanges(
  deps: ChangeDeps,
  { remaining }: Remaining,
): Promise<Outcome> {
  const tables = [scannedTables.brokers, scannedTables.extensions] as const;
  return await unlessSwitchedOff(deps, tables, async () => {
    const brokers = await publishTable(deps, scannedTables.brokers, remaining);
    const extensions = await publishTable(deps, scannedTables.extensions, remaining);
    const changed = brokers.published + extensions.published;
    return { outcome: changed ? 'published' : 'nothing-new', changed, brokers, extensions };
  });
}

/** Publishes the companies that changed since the last run. */
export async function publishCompanyChanges(
  deps: ChangeDeps,
  { remaining }: Remaining,
): Promise<Outcome> {
  const { companies } = scannedTables;
  return await unlessSwitchedOff(deps, [companies], async () => ({
    ...(await publishTable(deps, companies, remaining)),
  }));
}

/** Publishes the stores that changed since the last run. */
export async function publishStoreChanges(
  deps: ChangeDeps,
  { remaining }: Remaining,
): Promise<Outcome> {
  const { stores } = scannedTables;
  return await unlessSwitchedOff(deps, [stores], async () => ({
    ...(await publishTable(deps, stores, remaining)),
  }));
}

/** While the switch is off the cursors do not move, so that changes made meanwhile are found after it is on again. */
async function unlessSwitchedOff(
  { mysql, upstream, settings, firstSwitchOff }: ChangeDeps,
  tables: readonly [ScannedTable, ...ScannedTable[]],
  publish: () => Promise<Outcome>,
): Promise<Outcome> {
  const switchOff = await firstSwitchOff(tables[0].functionId);
  if (!switchOff) return await publish();
  for (const one of tables)
    await setFirstCursor(mysql, scanSourceOf(upstream, one), await settings());
  return { outcome: 'switched-off', switch: switchOff };
}

const scanSourceOf = (
  upstream: Kysely<UpstreamTables>,
  { functionId, table, key }: ScannedTable,
) => ({
  name: `${functionId}:${table}`,
  now: () => upstreamTime(upstream),
  read: (page: Page) => readPage(upstream, table, key, page),
});

async function publishTable(
  { mysql, upstream, settings, deliver }: ChangeDeps,
  scannedTable: ScannedTable,
  remaining: () => number,
): Promise<PublishedChanges> {
  const scanSource = scanSourceOf(upstream, scannedTable);
  const { source } = scannedTable;
  const limits = await settings();
  const unusable: string[] = [];
  const scanned = await scan({ mysql, deliver }, scanSource, limits, remaining, (changed) => {
    const ids = changed.map(({ id }) => id);
    unusable.push(...ids.filter((id) => !isId(id)).slice(0, namedMax - unusable.length));
    return messagesFor(source, ids);
  });
  return unusable.length ? { ...scanned, unusable } : scanned;
}

async function upstreamTime(upstream: Kysely<UpstreamTables>): Promise<string> {
  const { rows } = await sql<{ now: string }>`select now() now`.execute(upstream);
  const [row] = rows;
  if (!row) throw new Error('select now() returned no row.');
  return row.now;
}

/** Reads whole rows, so that the hash of a row changes with any change of it within the same second. */
async function readPage(
  upstream: Kysely<UpstreamTables>,
  table: string,
  key: string,
  { time, id, upTo, limit }: Page,
): Promise<Stamped[]> {
  const { rows } = await sql<Stamped>`
    select row_of_it.*, ${sql.ref(key)} id, updated_datetime stamp from ${sql.table(table)} row_of_it
    where updated_datetime between ${time} and ${upTo} and (updated_datetime > ${time} or ${sql.ref(key)} > ${id})
    order by updated_datetime, ${sql.ref(key)} limit ${limit}`.execute(upstream);
  return rows;
}
