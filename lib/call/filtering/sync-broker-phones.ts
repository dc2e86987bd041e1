/** Use case of call/sync-broker-phones: copies brokers' telephone numbers, by which the filter recognises brokers. */
import { type Kysely, sql, type Transaction } from 'kysely';
import type { Tick } from '../../platform/lambda/schedule.ts';
import type { Deliver } from '../../platform/messaging/outbox.ts';
import { type Page, type ScanLimits, type Stamped, scan } from '../../platform/messaging/scan.ts';
import type { CallTables } from '../tables.ts';
import { phoneRow, unusablePhones } from './broker-phone-rows.ts';
import { runBrokerPhoneComparison } from './broker-phone-runs.ts';
import type { UpstreamPhones } from './upstream-phones.ts';

export interface BrokerPhoneDeps {
  readonly mysql: Kysely<CallTables>;
  readonly upstream: Kysely<UpstreamPhones>;
  readonly settings: () => Promise<ScanLimits>;
  readonly deliver: Deliver;
}

interface Phone extends Stamped {
  readonly phone: string | null;
}

/**
 * Applies changed telephone numbers to `broker_phone`. Once a day, and at the first tick, it also compares all numbers
 * with upstream in a full run.
 */
export async function syncBrokerPhones(
  deps: BrokerPhoneDeps,
  tick: Pick<Tick, 'at' | 'remaining'>,
) {
  const unusable = unusablePhones();
  const scanned = await scanBrokerPhones(deps, tick, unusable.collect);
  const run = await runBrokerPhoneComparison(deps, tick, unusable.collect);
  return { ...scanned, ...run, ...unusable.facts() };
}

async function scanBrokerPhones(
  { mysql, upstream, settings, deliver }: BrokerPhoneDeps,
  { remaining }: Pick<Tick, 'remaining'>,
  collectUnusable: (rows: readonly Phone[]) => void,
) {
  const source = {
    name: 'call/sync-broker-phones:anjuke_db.ajk_brokerextend',
    now: () => upstreamNow(upstream),
    read: (page: Page) => readChangedPhones(upstream, page),
  };
  const scanned = await scan({ mysql, deliver }, source, await settings(), remaining, applyPage);
  const outcome = scanned.outcome === 'published' ? ('synced' as const) : scanned.outcome;
  return { ...scanned, outcome };

  async function applyPage(rows: readonly Phone[], trx: unknown) {
    collectUnusable(rows);
    await applyPhones(trx as Transaction<CallTables>, rows);
    return []; // No messages follow.
  }
}

/** Returns the time of upstream's database. */
async function upstreamNow(upstream: Kysely<UpstreamPhones>): Promise<string> {
  const { rows } = await sql<{ now: string }>`select now() now`.execute(upstream);
  const [row] = rows;
  if (!row) throw new Error('select now() returned no row.');
  return row.now;
}

/** Reads one page of changed rows, in the order of the scan. */
async function readChangedPhones(
  upstream: Kysely<UpstreamPhones>,
  { time, id, upTo, limit }: Page,
): Promise<Phone[]> {
  const { rows } = await sql<Phone>`
    select BrokerId id, updated_datetime stamp, UserMobile phone from anjuke_db.ajk_brokerextend
    where updated_datetime between ${time} and ${upTo}
      and (updated_datetime > ${time} or BrokerId > ${id})
    order by updated_datetime, BrokerId limit ${limit}`.execute(upstream);
  return rows;
}

/** Upserts usable numbers, and deletes the rows of brokers without one. */
async function applyPhones(trx: Transaction<CallTables>, rows: readonly Phone[]): Promise<void> {
  const usable = rows.flatMap((row) => phoneRow(row) ?? []);
  const ids = new Set(usable.map(({ broker_id }) => broker_id));
  const removed = rows.filter(({ id }) => !ids.has(id)).map(({ id }) => id);
  if (removed.length)
    await trx.deleteFrom('user_prop_db.broker_phone').where('broker_id', 'in', removed).execute();
  if (usable.length)
    await trx
      .insertInto('user_prop_db.broker_phone')
      .values(usable)
      .onDuplicateKeyUpdate({
        phone: sql`values(phone)`,
        digits: sql`values(digits)`,
        updated_at: sql`values(updated_at)`,
      })
      .execute();
}
