import { type Kysely, sql } from 'kysely';
import { type PartnerUnavailable, Postponed } from '../../platform/errors.ts';
import { toBus, transactionWithOutbox } from '../../platform/messaging/outbox.ts';
import type { FirstSwitchOff } from '../../platform/operations/switches.ts';
import { postponed } from '../../platform/partners/partner.ts';
import { dateOf } from '../../platform/time.ts';
import { profileKey } from '../cache-keys.ts';
import { brokerApplied } from '../events.ts';
import { sources } from '../queues.ts';
import type { BrokerSwitch } from '../switches.ts';
import type { ProfileTables, UpstreamTables } from '../tables.ts';
import { invalidations } from './invalidations.ts';
import type { MicroShopClient } from './micro-shop-client.ts';
import { type ApplyResult, type Failure, applyInHalves } from './portions.ts';
import { type MicroShopAnswers, queryMicroShops } from './shop-questions.ts';
import { type SourceRow, inLockOrder, type SyncedTable, syncRows } from './sync-rows.ts';
import { type ApplyDeps, withDeletion } from './synced-entity.ts';

const table = 'user_prop_db.broker_ext_profile';

export interface MicroShopDeps extends ApplyDeps {
  readonly microShopClient: MicroShopClient;
  /** The first of these kill switches that is off. */
  readonly firstSwitchOff: FirstSwitchOff<BrokerSwitch>;
}

const shops: SyncedTable<typeof table> = {
  table,
  key: 'broker_id',
  columns: ['weidian_failures', 'is_deleted'],
  readBeforeLock: {
    columns: ['weidian_name', 'wechat_name', 'weidian_qrcode'],
    at: 'weidian_asked_at',
  },
  // The stamp is a time of ours, which goes on whatever becomes of the broker.
  clearedOnDelete: [],
};

/** Ids whose shop could not be asked for, and until when they wait. */
export interface WaitingIds {
  readonly ids: readonly string[];
  readonly postponed: Postponed;
}

export interface MicroShopsResult extends ApplyResult {
  readonly waiting: readonly WaitingIds[];
}

/**
 * Makes the micro-shop fields equal to what the service says. It is asked while nothing is locked, so a row is guarded
 * by the time of the question, by our database's clock: of two answers the one that was asked for later stays. What
 * it did not answer for changes nothing and waits, each time for longer; what it did answer for is applied.
 */
export async function applyMicroShops(deps: MicroShopDeps, ids: readonly string[]): Promise<MicroShopsResult> {
  const ordered = inLockOrder(ids);
  const heldBy = await deps.firstSwitchOff('partner/weishop');
  if (heldBy) {
    const until = dateOf(await databaseTime(deps.mysql));
    const held = new Postponed(until, 'It is switched off.', { heldBy });
    return { ...nothing, waiting: [{ ids: ordered, postponed: held }] };
  }
  const asked = await queryMicroShops(
    { weishop: deps.microShopClient, now: () => databaseTime(deps.mysql) },
    ordered,
  );
  const wrong = Array.from(asked.malformed, ([id, error]): Failure => ({ id, error }));
  const done = await applyAnswers(deps, asked.answers);
  return {
    ...done,
    failures: [...wrong, ...done.failures],
    waiting: await waitingOf(deps, asked),
  };
}

const nothing = { present: 0, deleted: 0, failures: [] };

async function applyAnswers(deps: MicroShopDeps, told: MicroShopAnswers['answers']): Promise<ApplyResult> {
  if (!told.size) return nothing;
  return await applyInHalves(inLockOrder([...told.keys()]), (part) =>
    transactionWithOutbox(deps, async (trx, follow) => {
      const applied = await syncRows(trx, shops, part, (some) =>
        readUpstream(deps.upstream, some, told),
      );
      const event = toBus(brokerApplied, { source: sources.weidian, ids: [...part] });
      follow(...invalidations(part.map(profileKey)), event);
      return applied;
    }),
  );
}

/** Ids that were not asked for wait for a minute, however often the others failed. */
async function waitingOf(
  { mysql }: MicroShopDeps,
  { failed, notAsked: unasked, cause }: MicroShopAnswers,
): Promise<readonly WaitingIds[]> {
  if (!cause) return [];
  const waiting: WaitingIds[] = [];
  if (failed.length)
    waiting.push({ ids: failed, postponed: await postponeMicroShops(mysql, failed, cause) });
  if (unasked.length) {
    const now = dateOf(await databaseTime(mysql));
    waiting.push({ ids: unasked, postponed: postponed(cause, 1, now) });
  }
  return waiting;
}

/** The brokers that are there, with what their shop said. */
async function readUpstream(
  upstream: Kysely<UpstreamTables>,
  ids: readonly string[],
  told: MicroShopAnswers['answers'],
): Promise<SourceRow<typeof table>[]> {
  const { rows } = await sql<{ broker_id: string; status: number | null }>`
    select BrokerId broker_id, Status status from anjuke_db.ajk_broker
    where BrokerId in (${ids}) order by BrokerId`.execute(upstream);
  return rows.map((row) => ({
    ...withDeletion(row),
    ...told.get(row.broker_id),
    weidian_failures: 0,
  }));
}

/** Our database's clock. */
export async function databaseTime(mysql: Kysely<ProfileTables>): Promise<string> {
  const { rows } = await sql<{ now: string }>`select now(6) now`.execute(mysql);
  const [row] = rows;
  if (!row) throw new Error('select now(6) gave no row');
  return row.now;
}

/**
 * How often in a row the service was away is kept with the first broker of the message: the message itself, and its
 * number of deliveries, begin anew each time it is put off.
 */
async function postponeMicroShops(
  mysql: Kysely<ProfileTables>,
  [first = '']: readonly string[],
  cause: PartnerUnavailable,
): Promise<Postponed> {
  await mysql
    .insertInto(table)
    .values({ broker_id: first, is_deleted: 1, weidian_failures: 1 } as never)
    .onDuplicateKeyUpdate({ weidian_failures: sql`weidian_failures + 1` })
    .execute();
  const { weidian_failures, now } = await mysql
    .selectFrom(table)
    .select(['weidian_failures', sql<string>`now()`.as('now')])
    .where('broker_id', '=', first)
    .executeTakeFirstOrThrow();
  return postponed(cause, weidian_failures, dateOf(now));
}
