/** Measures how long a change of one broker, the canary, takes to reach the site. */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Cache } from '../../platform/cache/redis.ts';
import type { Tick } from '../../platform/lambda/schedule.ts';
import { type Deliver, transactionWithOutbox } from '../../platform/messaging/outbox.ts';
import type { FirstSwitchOff } from '../../platform/operations/switches.ts';
import type { OutcomeWord } from '../../platform/outcomes.ts';
import { invalidations } from '../apply/invalidations.ts';
import { profileKey } from '../cache-keys.ts';
import { messagesFor } from '../publish/event-messages.ts';
import { brokerEvents, sources } from '../queues.ts';
import type { BrokerSettings } from '../settings.ts';
import type { BrokerSwitch } from '../switches.ts';
import type { ProfileTables } from '../tables.ts';
import { profileOf } from './read-profile.ts';

/** The canary's own row, and the tables that it reads. */
export interface CanaryTables extends ProfileTables {
  'user_prop_db.broker_canary': {
    broker_id: string;
    /** The upstream timestamp that the site must show again. */
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

/** A type alias and not an interface, because only a type alias is assignable to an outcome's index signature. */
type CanaryOutcome = {
  readonly outcome: OutcomeWord;
  readonly measured: Readonly<Record<string, number>>;
  readonly appliedSeconds?: number | null;
  readonly readableSeconds?: number | null;
};

const pollMs = 250;
/** With fewer milliseconds left polling ends; the next run continues it. */
const endMs = 5_000;

/**
 * Sends a change of one broker through the whole pipeline, and measures how long it takes until it is applied and
 * until the site reads it. The broker's data does not change: only the timestamp in the user-facing row is set back
 * by one second, which applying restores. A canary that is not applied yet is sent again by each run, and its age
 * keeps growing.
 */
export async function sendCanary(
  deps: CanaryDeps,
  { remaining }: Pick<Tick, 'remaining'>,
): Promise<CanaryOutcome> {
  const { mysql, settings, pause, firstSwitchOff } = deps;
  const { canaryBrokerId } = await settings();
  const lags = await lagsOf(mysql);
  if (!canaryBrokerId) return { outcome: 'no-canary', measured: lags };
  if (await firstSwitchOff('broker/send-canary'))
    return { outcome: 'switched-off', measured: lags };
  const id = String(canaryBrokerId);
  if (!(await publishCanary(deps, id))) return { outcome: 'canary-not-on-site', measured: lags };
  while (remaining() > endMs) {
    if (await checkArrival(deps, id)) break;
    await pause(pollMs);
  }
  const { age, appliedSeconds, readableSeconds } = await timesOf(mysql, id);
  return {
    outcome: readableSeconds === null ? 'canary-on-its-way' : 'canary-arrived',
    appliedSeconds,
    readableSeconds,
    measured: { ...lags, 'canary age': age },
  };
}

/** Returns false if the site does not show the broker, or its row has no timestamp. */
async function publishCanary(deps: CanaryDeps, id: string): Promise<boolean> {
  return await transactionWithOutbox(deps, async (trx, follow) => {
    const row = await trx
      .selectFrom('user_prop_db.broker_base')
      .select('source_updated_at')
      .where('broker_id', '=', id)
      .where('is_deleted', '=', 0)
      .forUpdate()
      .executeTakeFirst();
    if (!row?.source_updated_at) return false;
    const current = await trx
      .selectFrom('user_prop_db.broker_canary')
      .select(['stamp', 'readable_at'])
      .where('broker_id', '=', id)
      .executeTakeFirst();
    if (current?.readable_at === null) {
      if (row.source_updated_at < current.stamp) follow(...messagesFor(sources.base, [id]));
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

/** Stores when the canary was applied and when the site first read it. Returns true once both have happened. */
async function checkArrival({ mysql, cache }: CanaryDeps, id: string): Promise<boolean> {
  // Read the profile first, so that the cache holds the old profile until an invalidation comes.
  const { profile } = await profileOf({ mysql, cache }, id);
  const { applied, stamp } = await mysql
    .selectFrom('user_prop_db.broker_canary as canary')
    .innerJoin('user_prop_db.broker_base as base', 'base.broker_id', 'canary.broker_id')
    .select(['canary.stamp', sql<number | string>`source_updated_at >= stamp`.as('applied')])
    .where('canary.broker_id', '=', id)
    .executeTakeFirstOrThrow();
  const isApplied = Number(applied) === 1;
  const isReadable = profile !== undefined && (profile.updated_at ?? '') >= stamp;
  if (isApplied) await storeTime(mysql, id, 'applied_at');
  if (isApplied && isReadable) await storeTime(mysql, id, 'readable_at');
  return isApplied && isReadable;
}

const storeTime = (mysql: Kysely<CanaryTables>, id: string, column: 'applied_at' | 'readable_at') =>
  mysql
    .updateTable('user_prop_db.broker_canary')
    .set({ [column]: sql`coalesce(${sql.ref(column)}, now(3))` })
    .where('broker_id', '=', id)
    .execute();

async function timesOf(mysql: Kysely<CanaryTables>, id: string) {
  const secondsUntil = (until: string) =>
    sql<string | null>`timestampdiff(microsecond, published_at, ${sql.raw(until)}) / 1e6`;
  const row = await mysql
    .selectFrom('user_prop_db.broker_canary')
    .select([
      secondsUntil('coalesce(readable_at, now(3))').as('age'),
      secondsUntil('applied_at').as('applied'),
      secondsUntil('readable_at').as('readable'),
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
 * Returns the lag of the slowest scan, and the age of the oldest change in the outbox, postponed ones included. The
 * age of messages on the queue is a metric of SQS.
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

/**
 * Split by `held_by`, so that the index narrows to the destination: other destinations may have a million outbox rows.
 */
const unapplied = (heldBy: RawBuilder<unknown>) => sql`
  select created_at from signalbox.outbox force index (by_kind)
  where kind in ('message', 'refused') and held_by is ${heldBy} and destination = ${`queue:${brokerEvents.id}`}`;
