import { type Kysely, sql } from 'kysely';
import { isId } from '../../platform/ids.ts';
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
  /** A producer has its own id as a kill switch. */
  readonly firstSwitchOff: FirstSwitchOff<BrokerSwitch>;
}

interface Scanning {
  /** The function that scans, and its kill switch. */
  readonly by: BrokerSwitch;
  readonly table: keyof UpstreamTables;
  readonly key: string;
  readonly source: Source;
}

const base = {
  by: 'broker/publish-base-changes',
  key: 'BrokerId',
  source: sources.base,
} as const;
const scans = {
  brokers: { ...base, table: 'anjuke_db.ajk_broker' },
  extensions: { ...base, table: 'anjuke_db.ajk_brokerextend' },
  companies: {
    by: 'broker/publish-company-changes',
    table: 'anjuke_db.ajk_company',
    key: 'CompanyId',
    source: sources.company,
  },
  stores: {
    by: 'broker/publish-store-changes',
    table: 'anjuke_db.ajk_store',
    key: 'StoreId',
    source: sources.store,
  },
} as const satisfies Record<string, Scanning>;

type Remaining = Pick<Tick, 'remaining'>;

type PublishedChanges = Scanned & {
  /** Ids of changed rows that can be the id of nothing (0, negative): left out, and named for their owner. */
  readonly unusable?: readonly string[];
};
/** More are not named. */
const namedMax = 20;

/** Publishes the brokers whose row, or whose telephone number in the extension table, changed since the last run. */
export async function publishBaseChanges(deps: ChangeDeps, { remaining }: Remaining) {
  return await unlessOff(deps, [scans.brokers, scans.extensions], async () => {
    const brokers = await publishFrom(deps, scans.brokers, remaining);
    const extensions = await publishFrom(deps, scans.extensions, remaining);
    const changed = brokers.published + extensions.published;
    return { outcome: changed ? 'published' : 'nothing new', changed, brokers, extensions };
  });
}

/** Publishes the companies that changed since the last run. */
export async function publishCompanyChanges(deps: ChangeDeps, { remaining }: Remaining) {
  const { companies } = scans;
  return await unlessOff(deps, [companies], async () => ({
    ...(await publishFrom(deps, companies, remaining)),
  }));
}

/** Publishes the stores that changed since the last run. */
export async function publishStoreChanges(deps: ChangeDeps, { remaining }: Remaining) {
  const { stores } = scans;
  return await unlessOff(deps, [stores], async () => ({
    ...(await publishFrom(deps, stores, remaining)),
  }));
}

/** Under a switch the cursors stay where they are: what changes meanwhile is found when it is lifted. */
async function unlessOff<Result extends { readonly outcome: string }>(
  { mysql, upstream, settings, firstSwitchOff }: ChangeDeps,
  scannings: readonly [Scanning, ...Scanning[]],
  publish: () => Promise<Result>,
) {
  const stopped = await firstSwitchOff(scannings[0].by);
  if (!stopped) return await publish();
  for (const one of scannings) await setFirstCursor(mysql, rowsOf(upstream, one), await settings());
  return { outcome: 'switched off', switch: stopped };
}

const rowsOf = (upstream: Kysely<UpstreamTables>, { by, table, key }: Scanning) => ({
  name: `${by}:${table}`,
  now: () => clock(upstream),
  read: (page: Page) => read(upstream, table, key, page),
});

async function publishFrom(
  { mysql, upstream, settings, deliver }: ChangeDeps,
  scanning: Scanning,
  remaining: () => number,
): Promise<PublishedChanges> {
  const rows = rowsOf(upstream, scanning);
  const { source } = scanning;
  const limits = await settings();
  const unusable: string[] = [];
  const scanned = await scan({ mysql, deliver }, rows, limits, remaining, (changed) => {
    const ids = changed.map(({ id }) => id);
    unusable.push(...ids.filter((id) => !isId(id)).slice(0, namedMax - unusable.length));
    return messagesFor(source, ids);
  });
  return unusable.length ? { ...scanned, unusable } : scanned;
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
