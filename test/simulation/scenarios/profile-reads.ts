import { sql } from 'kysely';
import * as z from 'zod';
import { invalidations } from '../../../lib/broker/apply/invalidations.ts';
import { profileKey } from '../../../lib/broker/cache-keys.ts';
import { profileOf } from '../../../lib/broker/read/read-profile.ts';
import type { ProfileTables } from '../../../lib/broker/tables.ts';
import { invalidation } from '../../../lib/platform/cache/invalidation.ts';
import { consume } from '../../../lib/platform/messaging/consume.ts';
import { deliverBy, transactionWithOutbox } from '../../../lib/platform/messaging/outbox.ts';
import { queue } from '../../../lib/platform/messaging/queue.ts';
import { mysqlOf } from '../database.ts';
import { newRedis, type SimulatedRedis } from '../redis.ts';
import type { Act, Consumer, Scenario, Scheduled, Stage } from '../run-scenario.ts';
import { startMs } from '../world.ts';
import { deliverer } from './deliverer.ts';

const renames = queue('simulation/rename-broker', z.object({ id: z.string(), version: z.int() }));
const ids = ['1', '2'];

/** The promise: this long after a change was applied and the cache answers, no reader gets the old profile. */
const staleMsMax = 10_000;
const keptSecondsMax = 3_600;
/** The limit if a run of deliver-due has crashed as well, so that the next one has to start first. */
const staleMsMaxWithoutDelivery = 75_000;
const staleAfterSwarmMsMax = 125_000;
const readAfterMs = 200_000;

interface Trouble {
  /** Without other faults, the cache is unavailable for ten minutes while changes are applied, and fails over later. */
  readonly away?: boolean;
}

/** Readers fill a cache while writers change profiles; the cache is unavailable, loses answers and fails over. */
function profileReadsOf({ away = false }: Trouble = {}): Scenario {
  return {
    name: away ? 'profile-reads-away' : 'profile-reads',
    tables: [
      ...['signalbox.outbox', 'signalbox.claim', 'user_prop_db.broker_base'],
      'user_prop_db.broker_ext_profile',
    ],
    begin: async (stage) => {
      const { databases, world, faults, queues } = stage;
      await databases.admin.query(
        'insert into user_prop_db.broker_base (broker_id, city_id, is_deleted) values ?',
        [ids.map((id) => [id, 0, 0])],
      );
      const asked = queues.open(renames);
      const seen = observer(stage, () => redis.backAtMs);
      const redis = newRedis(world, seen.witness);
      const versions = new Map(ids.map((id) => [id, 0]));
      const rename = (id: string) => {
        const version = (versions.get(id) ?? 0) + 1;
        versions.set(id, version);
        queues.put(asked, JSON.stringify({ id, version }));
      };
      const script = (away ? awayScript : faults.exact ? fixedScript : chanceScript)(
        stage,
        redis,
        rename,
      );
      const lastMs = startMs + Math.max(...script.map(({ atSeconds }) => atSeconds)) * 1000;
      const quietMs = faults.exact ? lastMs : Math.max(lastMs, faults.untilMs);
      const endMs = quietMs + (faults.exact && !away ? 15_000 : readAfterMs);
      const isOver = () => world.nowMs > endMs;
      const delivering =
        faults.exact && !away ? { timeoutSeconds: 65 } : { timeoutSeconds: away ? 65 : 16 };
      return {
        consumers: [writer(stage, redis)],
        schedules: [
          ...[1, 1.5].map((seconds) => reader(stage, redis, seconds, isOver)),
          {
            ...deliverer(stage, { ...delivering, channels: [invalidation(redis.cacheFor(0))] }),
            firstSeconds: 0,
          },
        ],
        script,
        safety: async (injected) => {
          await seen.look();
          return seen.broken(injected);
        },
        unsettled: async () => {
          if (!isOver()) return 'It is still read.';
          const [left] = await databases.admin.query('select * from signalbox.outbox');
          if ((left as unknown[]).length) return `The outbox holds ${JSON.stringify(left)}`;
          const behind = ids.find((id) => seen.versionOf(id) !== versions.get(id));
          return behind && `Broker ${behind} has version ${seen.versionOf(behind)}.`;
        },
      };
    },
  };
}

export const profileReads = profileReadsOf();
export const profileReadsAway = profileReadsOf({ away: true });

const versionIn = (value: unknown) => z.object({ city_id: z.int() }).parse(value).city_id;
const idIn = (key: string) => ids.find((id) => profileKey(id) === key);

/** Records when each version was replaced, and checks every answer of the cache against it. */
function observer({ databases, world, faults }: Stage, backAtMs: () => number) {
  const now = new Map(ids.map((id) => [id, 0]));
  const followedAtMs = new Map<string, number>();
  const atDeletion = new Map<string, number>();
  let wrong: string | undefined;
  let worst = { ageMs: 0, text: '' };
  const settledFromMs = faults.exact ? 0 : faults.untilMs;

  return {
    witness: {
      served: (key: string, value: unknown) => {
        const id = idIn(key);
        if (id === undefined) return;
        const version = versionIn(value);
        const followed = followedAtMs.get(`${id} ${version}`);
        if (followed === undefined) return;
        const ageMs = world.nowMs - Math.max(followed, backAtMs(), settledFromMs);
        const text = `Broker ${id} was shown with version ${version} ${ageMs} ms too late.`;
        if (ageMs > worst.ageMs) worst = { ageMs, text };
      },
      filled: (key: string, value: unknown, keptSeconds: number) => {
        const id = idIn(key);
        if (id === undefined) return;
        const version = versionIn(value);
        if (version < (atDeletion.get(id) ?? 0))
          wrong ??= `Version ${version} of ${id} was kept although it was read before an invalidation.`;
        if (keptSeconds > keptSecondsMax) wrong ??= `${key} is kept for ${keptSeconds} s.`;
      },
      deleted: (key: string) => {
        const id = idIn(key);
        if (id !== undefined) atDeletion.set(id, now.get(id) ?? 0);
      },
      /** A fail-over may restore deleted keys; the repeated invalidation deletes them again. */
      failedOver: () => atDeletion.clear(),
    },
    look: async () => {
      const [rows] = await databases.admin.query(
        'select broker_id id, city_id version from user_prop_db.broker_base',
      );
      for (const { id, version } of rows as { id: string; version: number }[]) {
        const before = now.get(String(id)) ?? 0;
        for (let one = before; one < version; one++) followedAtMs.set(`${id} ${one}`, world.nowMs);
        now.set(String(id), version);
      }
    },
    broken: (injected: number) => {
      const max = !faults.exact
        ? staleAfterSwarmMsMax
        : injected <= 1
          ? staleMsMax
          : staleMsMaxWithoutDelivery * injected;
      return wrong ?? (worst.ageMs > max ? worst.text : undefined);
    },
    versionOf: (id: string) => now.get(id),
  };
}

function writer({ databases, world }: Stage, redis: SimulatedRedis): Consumer {
  return {
    queue: renames,
    timeoutSeconds: 10,
    handlerOf: (worker) => {
      const mysql = mysqlOf<ProfileTables>(databases, world, worker);
      const deps = { mysql, deliver: deliverBy(invalidation(redis.cacheFor())) };
      return consume(renames, ({ id, version }) =>
        transactionWithOutbox(deps, async (trx, follow) => {
          const { numUpdatedRows } = await trx
            .updateTable('user_prop_db.broker_base')
            .set({ city_id: version })
            .where('broker_id', '=', id)
            .where(sql<boolean>`city_id < ${version}`)
            .executeTakeFirst();
          if (!numUpdatedRows) return 'already-done';
          follow(...invalidations([profileKey(id)]));
          return 'applied';
        }),
      );
    },
  };
}

function reader(
  { databases, world }: Stage,
  redis: SimulatedRedis,
  everySeconds: number,
  isOver: () => boolean,
): Scheduled {
  let reads = 0;
  return {
    name: `reader-${everySeconds}`,
    everySeconds,
    timeoutSeconds: 30,
    run: async (worker) => {
      if (isOver()) return;
      reads += 1;
      const mysql = mysqlOf<ProfileTables>(databases, world, worker);
      const id = ids[reads % ids.length] ?? '';
      await profileOf({ mysql, cache: redis.cacheFor() }, id);
    },
  };
}

type Script = (stage: Stage, redis: SimulatedRedis, rename: (id: string) => void) => Act[];

const fixedScript: Script = (_, __, rename) => [
  { atSeconds: 4, act: () => rename('1') },
  { atSeconds: 5, act: () => rename('2') },
  { atSeconds: 5, act: () => rename('1') },
];

const awayScript: Script = (_, redis, rename) => [
  { atSeconds: 5, act: redis.goAway },
  ...[6, 100, 300, 590].map((atSeconds) => ({
    atSeconds,
    act: () => ids.forEach((id) => void rename(id)),
  })),
  { atSeconds: 605, act: () => redis.comeBack() },
  ...[640, 661, 682].flatMap((atSeconds) => [
    { atSeconds, act: redis.failOverAtNextDeletion },
    { atSeconds: atSeconds + 1, act: () => rename('1') },
  ]),
];

const bursts = 8;
const swarmSeconds = 600;

const chanceScript: Script = ({ faults: { random } }, redis, rename) => {
  const script: Act[] = [];
  for (let burst = 0; burst < bursts; burst++) {
    const id = ids[random.between(0, 1)] ?? '';
    const atSeconds = random.between(5, swarmSeconds);
    for (const after of [0, random.between(0, 3), random.between(2, 6)])
      script.push({ atSeconds: atSeconds + after, act: () => rename(id) });
    if (random.happens(0.3))
      script.push({ atSeconds: atSeconds + 1, act: redis.failOverAtNextDeletion });
  }
  // The last change also meets a fail-over, with no later change that would repair its loss.
  const last = { atSeconds: swarmSeconds + 290 };
  script.push({ ...last, act: redis.failOverAtNextDeletion });
  for (const id of ids) script.push({ ...last, act: () => rename(id) });
  if (random.happens(0.5)) {
    const from = random.between(5, swarmSeconds);
    script.push({ atSeconds: from, act: redis.goAway });
    script.push({ atSeconds: from + random.between(10, 250), act: () => redis.comeBack() });
  }
  return script;
};
