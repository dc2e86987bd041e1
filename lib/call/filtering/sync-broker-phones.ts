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
 * Makes `broker_phone`, by which callers are known as brokers, equal to the telephone numbers that changed upstream;
 * then, once a day and at the very first tick, to all of them.
 */
export async function syncBrokerPhones(
  deps: BrokerPhoneDeps,
  tick: Pick<Tick, 'at' | 'remaining'>,
) {
  const unusable = unusablePhones();
  const scanned = await scanBrokerPhones(deps, tick, unusable.note);
  const run = await runBrokerPhoneComparison(deps, tick, unusable.note);
  return { ...scanned, ...run, ...unusable.facts() };
}

async function scanBrokerPhones(
  { mysql, upstream, settings, deliver }: BrokerPhoneDeps,
  { remaining }: Pick<Tick, 'remaining'>,
  noteUnusable: (rows: readonly Phone[]) => void,
) {
  const source = {
    name: 'call/sync-broker-phones:anjuke_db.ajk_brokerextend',
    now: () => upstreamNow(upstream),
    read: (page: Page) => readChangedPhones(upstream, page),
  };
  const platform = mysql as unknown as Parameters<typeof scan>[0]['mysql'];
  const scanned = await scan(
    { mysql: platform, deliver },
    source,
    await settings(),
    remaining,
    write,
  );
  return { ...scanned, outcome: scanned.outcome === 'published' ? 'synced' : scanned.outcome };

  async function write(rows: readonly Phone[], trx: unknown) {
    noteUnusable(rows);
    await applyPhones(trx as Transaction<CallTables>, rows);
    return []; // Nobody has to be told.
  }
}

async function upstreamNow(upstream: Kysely<UpstreamPhones>): Promise<string> {
  const { rows } = await sql<{ now: string }>`select now() now`.execute(upstream);
  const [row] = rows;
  if (!row) throw new Error('select now() gave no row');
  return row.now;
}

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

/** A number that was taken away, or that is none, leaves no row: nobody is known by it. */
async function applyPhones(trx: Transaction<CallTables>, rows: readonly Phone[]): Promise<void> {
  const known = rows.flatMap((row) => phoneRow(row) ?? []);
  const ids = new Set(known.map(({ broker_id }) => broker_id));
  const gone = rows.filter(({ id }) => !ids.has(id)).map(({ id }) => id);
  if (gone.length)
    await trx.deleteFrom('user_prop_db.broker_phone').where('broker_id', 'in', gone).execute();
  if (known.length)
    await trx
      .insertInto('user_prop_db.broker_phone')
      .values(known)
      .onDuplicateKeyUpdate({
        phone: sql`values(phone)`,
        digits: sql`values(digits)`,
        updated_at: sql`values(updated_at)`,
      })
      .execute();
}
