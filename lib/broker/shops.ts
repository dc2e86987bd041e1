import { type Kysely, sql } from 'kysely';
import { PartnerAway, Postponed } from '../platform/errors.ts';
import { postponed } from '../platform/http.ts';
import { commit, toBus } from '../platform/outbox.ts';
import type { FirstSwitchOff } from '../platform/switches.ts';
import { dateOf } from '../platform/time.ts';
import { brokerApplied } from './events.ts';
import { invalidations } from './invalidations.ts';
import { profileKey } from './keys.ts';
import { type ApplyDeps, withDeletion } from './kinds.ts';
import { type Applied, type Copy, inOrder, type Mirror, mirror } from './mirrors.ts';
import { sources } from './queues.ts';
import type { BrokerSwitch } from './switches.ts';
import type { ProfileTables, UpstreamTables } from './tables.ts';
import { idsPerQuestionMax, partnerName, type Weishop } from './weishop.ts';

const table = 'user_prop_db.broker_ext_profile';
const askedAtOnceMax = 5;
/** All questions of a message; it ends before the function's time-out, so that a slow service counts as away. */
const askingMsMax = 12_000;

export interface ShopDeps extends ApplyDeps {
  readonly weishop: Weishop;
  /** The first of these kill switches that is off. */
  readonly off: FirstSwitchOff<BrokerSwitch>;
}

const shops: Mirror<typeof table> = {
  table,
  key: 'broker_id',
  guards: {
    weidian_name: 'weidian_asked_at',
    wechat_name: 'weidian_asked_at',
    weidian_qrcode: 'weidian_asked_at',
    weidian_failures: null,
    is_deleted: null,
  },
  // The stamp is a time of ours, which goes on whatever becomes of the broker.
  forgets: [],
};

/** What the service said of a broker, and when it was asked. */
type Told = Pick<
  ProfileTables[typeof table],
  'weidian_name' | 'wechat_name' | 'weidian_qrcode' | 'weidian_asked_at'
>;

/**
 * Makes the micro-shop fields equal to what the service says. It is asked while nothing is locked, so a row is guarded
 * by the time of the question, by our database's clock: of two answers the one that was asked for later stays. While
 * the service is away nothing of the fields changes, and the message is put off, each time for longer.
 */
export async function applyShops(deps: ShopDeps, ids: readonly string[]): Promise<Applied> {
  const ordered = inOrder(ids);
  const told = await ask(deps, ordered);
  return await commit(deps, async (trx, follow) => {
    const applied = await mirror(trx, shops, ordered, (some) => read(deps.upstream, some, told));
    const event = toBus(brokerApplied, { source: sources.weidian, ids: ordered });
    follow(...invalidations(ordered.map(profileKey)), event);
    return applied;
  });
}

/** The brokers that are there, with what their shop said. */
async function read(
  upstream: Kysely<UpstreamTables>,
  ids: readonly string[],
  told: ReadonlyMap<string, Told>,
): Promise<Copy<typeof table>[]> {
  const { rows } = await sql<{ broker_id: string; status: number | null }>`
    select BrokerId broker_id, Status status from anjuke_db.ajk_broker
    where BrokerId in (${ids}) order by BrokerId`.execute(upstream);
  return rows.map((row) => ({
    ...withDeletion(row),
    ...told.get(row.broker_id),
    weidian_failures: 0,
  }));
}

/** What the service says of each, if it says so at all: who is left out of an answer is asked for once more, alone. */
async function ask(deps: ShopDeps, ids: readonly string[]): Promise<Map<string, Told>> {
  const heldBy = await deps.off('partner/weishop');
  if (heldBy)
    throw new Postponed(dateOf(await clock(deps.mysql)), 'It is switched off.', { heldBy });
  const told = new Map<string, Told>();
  const end = performance.now() + askingMsMax;
  try {
    const missing: string[] = [];
    for (let start = 0; start < ids.length; start += idsPerQuestionMax)
      missing.push(...(await askFor(deps, ids.slice(start, start + idsPerQuestionMax), told)));
    await inLanes(missing, async (id) => {
      if (performance.now() > end)
        throw new PartnerAway(partnerName, 'none', `it takes too long for ${missing.length} alone`);
      await askFor(deps, [id], told);
    });
    return told;
  } catch (error) {
    throw error instanceof PartnerAway ? await putOff(deps, ids, error) : error;
  }
}

/** Asks once, and returns who was left out. */
async function askFor(
  { mysql, weishop }: ShopDeps,
  ids: readonly string[],
  told: Map<string, Told>,
): Promise<string[]> {
  const weidian_asked_at = await clock(mysql);
  const answer = await weishop(ids);
  for (const id of ids) {
    const { weidian_name = null, wechat_name = null, qrcode = null } = answer[id] ?? {};
    told.set(id, { weidian_name, wechat_name, weidian_qrcode: qrcode, weidian_asked_at });
  }
  return ids.filter((id) => !answer[id]);
}

async function clock(mysql: Kysely<ProfileTables>): Promise<string> {
  const { rows } = await sql<{ now: string }>`select now(6) now`.execute(mysql);
  const [row] = rows;
  if (!row) throw new Error('select now(6) gave no row');
  return row.now;
}

/** Works on several at once; after the first error nothing more is begun, and what is going on is waited for. */
async function inLanes(ids: readonly string[], work: (id: string) => Promise<void>): Promise<void> {
  const waiting = ids.values();
  const errors: unknown[] = [];
  const lane = async () => {
    for (const id of waiting) {
      if (errors.length) return;
      await work(id).catch((error) => errors.push(error));
    }
  };
  await Promise.all(Array.from({ length: askedAtOnceMax }, lane));
  if (errors.length) throw errors[0];
}

/**
 * How often in a row the service was away is kept with the first broker of the message: the message itself, and its
 * number of deliveries, begin anew each time it is put off.
 */
async function putOff({ mysql }: ShopDeps, [first = '']: readonly string[], away: PartnerAway) {
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
  return postponed(away, weidian_failures, dateOf(now));
}
