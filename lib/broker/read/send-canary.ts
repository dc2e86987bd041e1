import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Cache } from '../../platform/cache/redis.ts';
import type { Tick } from '../../platform/lambda/schedule.ts';
import { type Deliver, transactionWithOutbox } from '../../platform/messaging/outbox.ts';
import type { FirstSwitchOff } from '../../platform/operations/switches.ts';
import { invalidations } from '../apply/invalidations.ts';
import { profileKey } from '../cache-keys.ts';
import { messagesFor } from '../publish/event-messages.ts';
import { brokerEvents, sources } from '../queues.ts';
import type { BrokerSettings } from '../settings.ts';
import type { BrokerSwitch } from '../switches.ts';
import type { ProfileTables } from '../tables.ts';
import { profileOf } from './read-profile.ts';

/** What it remembers, beside what it looks at. */
export interface CanaryTables extends ProfileTables {
  'user_prop_db.broker_canary': {
    broker_id: string;
    /** What the site must show again. */
    stamp: string;
    published_at: string;
    applied_at: string | null;
    readable_at: string | null;
  };
}

export interface CanaryDeps {
  readonly mysql: Kysely<CanaryTables>;
  readonly cache: Cache;
  readonly deliver: Deliver;
  readonly settings: () => Promise<Pick<BrokerSettings, 'canaryBrokerId'>>;
  readonly pause: (ms: number) => Promise<void>;
  readonly firstSwitchOff: FirstSwitchOff<BrokerSwitch>;
}

/** No interface: an outcome may have facts of any name. */
type Sent = {
  readonly outcome: string;
  readonly measured: Readonly<Record<string, number>>;
  readonly appliedSeconds?: number | null;
  readonly readableSeconds?: number | null;
};

const lookEveryMs = 250;
/** With less than this left it looks no more; the next run goes on looking. */
const endMs = 5_000;

/**
 * Sends a change of one broker through everything and measures how long it takes until it is applied, and until the
 * site reads it. The broker itself stays as it is: only the site's note of when it changed upstream is set back by a
 * second, which applying mends. One that is not applied is sent again each time, and its age goes on growing.
 */
export async function sendCanary(
  deps: CanaryDeps,
  { remaining }: Pick<Tick, 'remaining'>,
): Promise<Sent> {
  const { mysql, settings, pause, firstSwitchOff } = deps;
  const { canaryBrokerId } = await settings();
  const lags = await lagsOf(mysql);
  if (!canaryBrokerId) return { outcome: 'no canary', measured: lags };
  if (await firstSwitchOff('broker/send-canary'))
    return { outcome: 'switched off', measured: lags };
  const id = String(canaryBrokerId);
  if (!(await publish(deps, id))) return { outcome: 'canary not on the site', measured: lags };
  while (remaining() > endMs) {
    if (await arrived(deps, id)) break;
    await pause(lookEveryMs);
  }
  const { age, appliedSeconds, readableSeconds } = await timesOf(mysql, id);
  return {
    outcome: readableSeconds === null ? 'canary on its way' : 'canary arrived',
    ...{ appliedSeconds, readableSeconds },
    measured: { ...lags, 'canary age': age },
  };
}

/** False where the site has no such broker, or does not know when it changed. */
async function publish(deps: CanaryDeps, id: string): Promise<boolean> {
  return await transactionWithOutbox(deps, async (trx, follow) => {
    const row = await trx
      .selectFrom('user_prop_db.broker_base')
      .select('source_updated_at')
      .where('broker_id', '=', id)
      .where('is_deleted', '=', 0)
      .forUpdate()
      .executeTakeFirst();
    if (!row?.source_updated_at) return false;
    const under = await trx
      .selectFrom('user_prop_db.broker_canary')
      .select(['stamp', 'readable_at'])
      .where('broker_id', '=', id)
      .executeTakeFirst();
    if (under?.readable_at === null) {
      if (row.source_updated_at < under.stamp) follow(...messagesFor(sources.base, [id]));
      return true;
    }
    await trx
      .replaceInto('user_prop_db.broker_canary')
      .values({ broker_id: id, stamp: row.source_updated_at, published_at: sql`now(3)` })
      .execute();
    await trx
      .updateTable('user_prop_db.broker_base')
      .set({ source_updated_at: sql`source_updated_at - interval 1 second` })
      .where('broker_id', '=', id)
      .execute();
    follow(...messagesFor(sources.base, [id]), ...invalidations([profileKey(id)]));
    return true;
  });
}

/** Notes when it was applied, and when the site reads it; true once both is so. */
async function arrived({ mysql, cache }: CanaryDeps, id: string): Promise<boolean> {
  // Read first, so that the cache holds what is old until an invalidation comes.
  const { profile } = await profileOf({ mysql, cache }, id);
  const { applied, stamp } = await mysql
    .selectFrom('user_prop_db.broker_canary as canary')
    .innerJoin('user_prop_db.broker_base as base', 'base.broker_id', 'canary.broker_id')
    .select(['canary.stamp', sql<number | string>`source_updated_at >= stamp`.as('applied')])
    .where('canary.broker_id', '=', id)
    .executeTakeFirstOrThrow();
  const seen = {
    applied: Number(applied) === 1,
    readable: profile !== undefined && (profile.updated_at ?? '') >= stamp,
  };
  if (seen.applied) await note(mysql, id, 'applied_at');
  if (seen.applied && seen.readable) await note(mysql, id, 'readable_at');
  return seen.applied && seen.readable;
}

const note = (mysql: Kysely<CanaryTables>, id: string, what: 'applied_at' | 'readable_at') =>
  mysql
    .updateTable('user_prop_db.broker_canary')
    .set({ [what]: sql`coalesce(${sql.ref(what)}, now(3))` })
    .where('broker_id', '=', id)
    .execute();

async function timesOf(mysql: Kysely<CanaryTables>, id: string) {
  const after = (until: string) =>
    sql<string | null>`timestampdiff(microsecond, published_at, ${sql.raw(until)}) / 1e6`;
  const row = await mysql
    .selectFrom('user_prop_db.broker_canary')
    .select([
      after('coalesce(readable_at, now(3))').as('age'),
      after('applied_at').as('applied'),
      after('readable_at').as('readable'),
    ])
    .where('broker_id', '=', id)
    .executeTakeFirstOrThrow();
  const number = (text: string | null) => (text === null ? null : Number(text));
  return {
    age: Number(row.age),
    appliedSeconds: number(row.applied),
    readableSeconds: number(row.readable),
  };
}

/**
 * How far the slowest scan is behind, and the age of the oldest change that is not on the queue yet, postponed ones
 * among them; the age of what is on it is a metric of the queue.
 */
async function lagsOf(mysql: Kysely<CanaryTables>): Promise<Record<string, number>> {
  const { lag } = await mysql
    .selectFrom('signalbox.scan_cursor')
    .select(sql<string | null>`max(timestampdiff(second, complete_to, now()))`.as('lag'))
    .where('name', 'like', 'broker/%')
    .executeTakeFirstOrThrow();
  const { rows } = await sql<{ age: number | string | null }>`
    select timestampdiff(second, min(created_at), now(3)) age from (
      ${unapplied(sql`null`)} union all ${unapplied(sql`not null`)}
    ) waiting`.execute(mysql);
  const age = rows[0]?.age;
  return { 'scan lag': Number(lag ?? 0), 'unapplied age': Number(age ?? 0) };
}

/** Split by `held_by`, or the index would not lead to the destination: other rows of the outbox may be a million. */
const unapplied = (held: RawBuilder<unknown>) => sql`
  select created_at from signalbox.outbox force index (by_kind)
  where kind in ('message', 'refused') and held_by is ${held} and destination = ${`queue:${brokerEvents.id}`}`;
