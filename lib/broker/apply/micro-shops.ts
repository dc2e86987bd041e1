/** Applies the micro shop fields of extended profiles. */
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
import { type ApplyResult, applyInHalves, type Failure } from './apply-in-halves.ts';
import { invalidations } from './invalidations.ts';
import type { MicroShopClient } from './micro-shop-client.ts';
import { type MicroShopAnswers, queryMicroShops } from './query-micro-shops.ts';
import { inLockOrder, type SourceRow, type SyncedTable, syncRows } from './sync-rows.ts';
import { type ApplyDeps, withDeletion } from './synced-entity.ts';

const table = 'user_prop_db.broker_ext_profile';

export interface MicroShopDeps extends ApplyDeps {
  readonly microShopClient: MicroShopClient;
  readonly firstSwitchOff: FirstSwitchOff<BrokerSwitch>;
}

const microShopColumns: SyncedTable<typeof table> = {
  table,
  key: 'broker_id',
  columns: ['weidian_failures', 'is_deleted'],
  readBeforeLock: {
    columns: ['weidian_name', 'wechat_name', 'weidian_qrcode'],
    readAt: 'weidian_asked_at',
  },
  // The time of the query comes from our own clock, so it stays comparable after the broker was deleted.
  clearedOnDelete: [],
};

/** Ids whose micro shop could not be queried, and the time of their next attempt. */
export interface WaitingIds {
  readonly ids: readonly string[];
  readonly postponed: Postponed;
}

export interface MicroShopsResult extends ApplyResult {
  readonly waiting: readonly WaitingIds[];
}

/**
 * Makes the micro shop fields equal to the service's answers. The service is queried without a lock, so each answer
 * carries the time of its query by our database's clock, and of two answers the one with the later query wins. Ids
 * without an answer keep their fields and are postponed with growing delays; the answered ids are applied.
 */
export async function applyMicroShops(
  deps: MicroShopDeps,
  ids: readonly string[],
): Promise<MicroShopsResult> {
  const ordered = inLockOrder(ids);
  const heldBy = await deps.firstSwitchOff('partner/weishop');
  if (heldBy) {
    const until = dateOf(await databaseTime(deps.mysql));
    const held = new Postponed(until, `The kill switch ${heldBy} is off.`, { heldBy });
    return { ...noneApplied, waiting: [{ ids: ordered, postponed: held }] };
  }
  const result = await queryMicroShops(
    { microShopClient: deps.microShopClient, now: () => databaseTime(deps.mysql) },
    ordered,
  );
  const malformed = Array.from(result.malformed, ([id, error]): Failure => ({ id, error }));
  const applied = await applyAnswers(deps, result.answers);
  return {
    ...applied,
    failures: [...malformed, ...applied.failures],
    waiting: await postponeUnanswered(deps, result),
  };
}

const noneApplied = { present: 0, deleted: 0, failures: [] };

async function applyAnswers(
  deps: MicroShopDeps,
  answers: MicroShopAnswers['answers'],
): Promise<ApplyResult> {
  if (!answers.size) return noneApplied;
  return await applyInHalves(inLockOrder([...answers.keys()]), (part) =>
    transactionWithOutbox(deps, async (trx, follow) => {
      const counts = await syncRows(trx, microShopColumns, part, (some) =>
        readUpstream(deps.upstream, some, answers),
      );
      const event = toBus(brokerApplied, { source: sources.weidian, ids: [...part] });
      follow(...invalidations(part.map(profileKey)), event);
      return counts;
    }),
  );
}

/** Failed ids are postponed with growing delays; ids that were not queried always wait for one minute. */
async function postponeUnanswered(
  { mysql }: MicroShopDeps,
  { failed, notAsked, cause }: MicroShopAnswers,
): Promise<readonly WaitingIds[]> {
  if (!cause) return [];
  const waiting: WaitingIds[] = [];
  if (failed.length)
    waiting.push({ ids: failed, postponed: await postponeMicroShops(mysql, failed, cause) });
  if (notAsked.length) {
    const now = dateOf(await databaseTime(mysql));
    waiting.push({ ids: notAsked, postponed: postponed(cause, 1, now) });
  }
  return waiting;
}

/** Returns the brokers that exist upstream, each with the answer for its micro shop. */
async function readUpstream(
  upstream: Kysely<UpstreamTables>,
  ids: readonly string[],
  answers: MicroShopAnswers['answers'],
): Promise<SourceRow<typeof table>[]> {
  const { rows } = await sql<{ broker_id: string; status: number | null }>`
    select BrokerId broker_id, Status status from anjuke_db.ajk_broker
    where BrokerId in (${ids}) order by BrokerId`.execute(upstream);
  return rows.map((row) => ({
    ...withDeletion(row),
    ...answers.get(row.broker_id),
    weidian_failures: 0,
  }));
}

/** Returns the time of our database's clock. */
export async function databaseTime(mysql: Kysely<ProfileTables>): Promise<string> {
  const { rows } = await sql<{ now: string }>`select now(6) now`.execute(mysql);
  const [row] = rows;
  if (!row) throw new Error('select now(6) returned no row.');
  return row.now;
}

/**
 * Consecutive failures are counted on the first broker's row: a postponed message is sent again as a new one, so its
 * receive count restarts.
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
