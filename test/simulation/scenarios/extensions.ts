import { publishExtProfiles } from '../../../lib/broker/publish/publish-ext-profiles.ts';
import { brokerEvents, sources } from '../../../lib/broker/queues.ts';
import { brokerSwitches } from '../../../lib/broker/switches.ts';
import { deliverBy, queueChannel as queuesOf } from '../../../lib/platform/messaging/outbox.ts';
import type { Exchange } from '../../../lib/platform/partners/http-exchange.ts';
import { dateOf } from '../../../lib/platform/time.ts';
import { mysqlOf } from '../database.ts';
import type { Act, Scenario, Scheduled, Stage } from '../run-scenario.ts';
import { exchangeWith, startMs } from '../world.ts';
import { applier, brokerSettings, followers } from './applier.ts';
import { deliverer } from './deliverer.ts';
import { newHistory } from './history.ts';
import { type Forbids, publishing, switching, switchTables } from './switching.ts';

const brokers = [1, 2, 3] as const;
const swarmChanges = 8;
const swarmSeconds = 600;
const names = ['partner/weishop', 'broker/publish-ext-profiles:star'] as const;
const stopped = {
  'broker/publish-ext-profiles:star': publishing('publish-ext-profiles'),
} satisfies Partial<Record<(typeof names)[number], Forbids>>;
const day = '2026-03-01';

/**
 * Companies, stores, talents, stars and micro-shops change, brokers disappear and return, the micro-shop service is
 * unavailable and its answers arrive out of order: the site becomes equal to upstream and never goes back in time.
 */
export const extensions: Scenario = {
  name: 'extensions',
  tables: [
    ...['signalbox.outbox', 'signalbox.claim', 'signalbox.broker_walk', ...switchTables],
    ...['broker_base', 'broker_ext_profile', 'broker_company', 'broker_store'].map(
      (table) => `user_prop_db.${table}`,
    ),
    ...['broker', 'brokerextend', 'company', 'store', 'wechat_talent', 'star_agent'].map(
      (table) => `anjuke_db.ajk_${table}`,
    ),
    'anjuke_db.ajk_star_agent_state',
  ],
  begin: async (stage) => {
    const { faults, queues } = stage;
    const queue = queues.open(brokerEvents);
    const send = (id: number, source: number) =>
      queues.put(queue, JSON.stringify({ broker_ids: String(id), flag: 2, source }));
    const sendAll = (source: number) =>
      queues.put(queue, JSON.stringify({ broker_ids: brokers.join(','), flag: 2, source }));
    const outside = outsideOf(stage);
    const kill = switching(stage, brokerSwitches, names, swarmSeconds, stopped);
    const follow = followers(stage);
    for (const id of brokers) await outside.broker(id);
    return {
      consumers: [
        applier(stage, {
          channels: follow.channels,
          exchange: kill.watched(outside.exchange, 'partner/weishop'),
          off: kill.off,
        }),
      ],
      schedules: [starPublisher(stage, kill.off), deliverer(stage, follow)],
      script: faults.exact
        ? fixedScript(outside, send, sendAll)
        : [...chanceScript(stage, outside, send, sendAll), ...kill.acts],
      passed: kill.passed,
      safety: async () => {
        const broken = kill.broken();
        if (broken) return broken;
        await follow.look();
        const [dead] = queues.dead(brokerEvents).sent;
        if (dead) return `Dead-lettered: ${dead.body} because ${dead.reason}`;
        return await outside.wrongOnSite();
      },
      unsettled: async () => (await outside.missingOnSite()) ?? follow.missing(),
    };
  },
};

function starPublisher(
  { databases, world }: Stage,
  off: ReturnType<typeof switching>['off'],
): Scheduled {
  return {
    name: 'publish-ext-profiles',
    everySeconds: 600,
    firstSeconds: 60,
    timeoutSeconds: 100,
    run: (worker, remaining) =>
      publishExtProfiles(
        {
          mysql: mysqlOf(databases, world, worker),
          upstream: mysqlOf(databases, world, worker, 'upstream'),
          settings: async () => ({
            ...brokerSettings,
            pageRowsMax: 1,
          }),
          deliver: deliverBy(queuesOf(brokerEvents)),
          firstSwitchOff: off(worker),
        },
        { at: new Date(startMs), remaining, input: { mode: 'star' } },
      ),
  };
}

type Outside = ReturnType<typeof outsideOf>;
type Send = (id: number, source: number) => void;

/** The state of the outside world, its history, and the site's differences from it. */
function outsideOf({ databases: { admin }, world }: Stage) {
  const { remember, movesOn, all } = newHistory('');
  /** The names of each shop, with their times. */
  const shops = new Map<string, { readonly name: string | null; readonly sinceMs: number }[]>();
  const askedAt = new Map<string, string>();
  let versions = 0;
  let awayUntilMs = 0;
  /** Until when every request that contains this broker is refused. */
  const refusedUntilMs = new Map<string, number>();
  const query = async (sql: string, values: unknown[] = []) => {
    const [rows] = await admin.query(sql, values);
    return rows as Record<string, string | null>[];
  };
  const stampOf = () => new Date(world.nowMs + 8 * 3_600_000).toISOString().slice(0, 19);

  const exchange: Exchange = exchangeWith(async ({ url }) => {
    if (world.nowMs < awayUntilMs) return { status: 503, body: Buffer.from('<html>') };
    const ids = (url.searchParams.get('broker_ids') ?? '').split(',');
    if (ids.some((id) => world.nowMs < (refusedUntilMs.get(id) ?? 0)))
      return { status: 200, body: Buffer.from('{"status":"error","msg":"system busy"}') };
    const found = ids.flatMap((id) => {
      const name = shops.get(id)?.at(-1)?.name;
      return name ? [[id, { weidian_name: name, wechat_name: name, qrcode: name }]] : [];
    });
    const answer = { status: 'ok', data: Object.fromEntries(found) };
    return { status: 200, body: Buffer.from(JSON.stringify(answer)) };
  });

  /** Checks that the site shows a name of the shop at or after the request, and never an older answer after a newer one. */
  const wrongShop = (id: string, name: string | null, at: string | null): string | undefined => {
    const before = askedAt.get(id);
    if (!at)
      return name || before ? `Broker ${id} shows the shop ${name} without a time.` : undefined;
    if (before && at < before) return `Broker ${id} shows an answer of ${at} after ${before}.`;
    askedAt.set(id, at);
    const known = shops.get(id) ?? [{ name: null, sinceMs: 0 }];
    const good = known.some((one, index) => {
      const untilMs = known[index + 1]?.sinceMs ?? Number.POSITIVE_INFINITY;
      return one.name === name && untilMs >= dateOf(at).getTime();
    });
    return good ? undefined : `Broker ${id} shows the shop ${name}, which it was not at ${at}.`;
  };

  return {
    exchange,
    away: (seconds: number) => {
      awayUntilMs = world.nowMs + seconds * 1000;
    },
    refuse: (id: number, seconds: number) =>
      void refusedUntilMs.set(String(id), world.nowMs + seconds * 1000),
    broker: (id: number, status = 1) =>
      query("replace into anjuke_db.ajk_broker values (?, 'name', 1, 1, 1, '', ?, ?)", [
        ...[id, status, stampOf()],
      ]),
    remove: (id: number) => query('delete from anjuke_db.ajk_broker where BrokerId = ?', [id]),
    /** Gives each change its own millisecond, so that a request before it has an earlier time. */
    shop: (id: number, closed = false) => {
      world.nowMs += 1;
      const before = shops.get(String(id)) ?? [{ name: null, sinceMs: 0 }];
      const name = closed ? null : `shop ${versions++}`;
      shops.set(String(id), [...before, { name, sinceMs: world.nowMs }]);
    },
    talent: async (id: number) => {
      const level = versions++;
      await query('replace into anjuke_db.ajk_wechat_talent values (?, 1, ?, ?)', [
        ...[id, level, stampOf()],
      ]);
      remember(`talent ${id}`, String(level));
    },
    star: async (id: number, state: boolean) => {
      const stars = versions++;
      await query('replace into anjuke_db.ajk_star_agent values (?, 1, ?)', [id, stars]);
      if (state)
        await query('replace into anjuke_db.ajk_star_agent_state values (?, ?, 1)', [id, day]);
      remember(`star ${id}`, String(stars));
    },
    company: async (id: number) => {
      const name = `company ${versions++}`;
      await query('replace into anjuke_db.ajk_company values (?, ?, ?, 1, ?)', [
        ...[id, `${name} Ltd`, name, stampOf()],
      ]);
      remember(`company ${id}`, name);
    },
    store: async (id: number) => {
      const name = `store ${versions++}`;
      await query("replace into anjuke_db.ajk_store values (?, 1, ?, '', 1, ?)", [
        ...[id, name, stampOf()],
      ]);
      remember(`store ${id}`, name);
    },
    close: async (what: 'company' | 'store', id: number) => {
      await query(`delete from anjuke_db.ajk_${what} where ${what}Id = ?`, [id]);
      remember(`${what} ${id}`, '');
    },

    wrongOnSite: async (): Promise<string | undefined> => {
      const wrong = (key: string, value: string) =>
        movesOn(key, value) ? undefined : `${key} is ${value} on the site, of ${all(key)}.`;
      for (const row of await query('select * from user_prop_db.broker_ext_profile')) {
        const { broker_id, weidian_name = null, weidian_asked_at = null } = row;
        const found =
          wrong(
            `talent ${broker_id}`,
            row['talent_level'] == null ? '' : `${row['talent_level']}`,
          ) ??
          wrong(`star ${broker_id}`, row['stars'] == null ? '' : `${row['stars']}`) ??
          wrongShop(String(broker_id), weidian_name, weidian_asked_at);
        if (found) return found;
      }
      for (const what of ['company', 'store'])
        for (const row of await query(`select * from user_prop_db.broker_${what}`)) {
          const shown = Number(row['is_deleted']) ? '' : String(row['name']);
          const found = wrong(`${what} ${row[`${what}_id`]}`, shown);
          if (found) return found;
        }
      return undefined;
    },

    missingOnSite: async (): Promise<string | undefined> => {
      const [row] = await query(`
        select e.broker_id id, 'extended' what from user_prop_db.broker_ext_profile e
          left join anjuke_db.ajk_broker u on u.BrokerId = e.broker_id and u.Status = 1
          left join anjuke_db.ajk_wechat_talent t on t.BrokerId = e.broker_id
          left join anjuke_db.ajk_star_agent s on s.BrokerId = e.broker_id
          where (u.BrokerId is null) <> (e.is_deleted = 1)
            or (u.BrokerId is not null and not (e.talent_level <=> t.Level and e.stars <=> s.Stars))
        union all select u.BrokerId, 'missing' from anjuke_db.ajk_broker u
          left join user_prop_db.broker_ext_profile e on e.broker_id = u.BrokerId where e.broker_id is null
        union all select c.company_id, 'company' from user_prop_db.broker_company c
          left join anjuke_db.ajk_company u on u.CompanyId = c.company_id
          where (u.CompanyId is null) <> (c.is_deleted = 1) or u.ShortName <> c.name
        union all select c.store_id, 'store' from user_prop_db.broker_store c
          left join anjuke_db.ajk_store u on u.StoreId = c.store_id
          where (u.StoreId is null) <> (c.is_deleted = 1) or u.StoreName <> c.name`);
      if (row) return `The site differs: ${JSON.stringify(row)}`;
      const shown = await query(
        'select * from user_prop_db.broker_ext_profile where is_deleted = 0',
      );
      for (const { broker_id, weidian_name } of shown) {
        const name = shops.get(String(broker_id))?.at(-1)?.name ?? null;
        if (name !== weidian_name) return `Broker ${broker_id} shows ${weidian_name} for ${name}.`;
      }
      return undefined;
    },
  };
}

function fixedScript(outside: Outside, send: Send, sendAll: (source: number) => void): Act[] {
  return [
    {
      atSeconds: 0,
      act: async () => {
        outside.shop(1);
        await outside.talent(1);
        await outside.star(2, true);
        await outside.company(1);
        await outside.store(1);
        sendAll(sources.all);
        send(1, sources.company);
        send(1, sources.store);
      },
    },
    {
      atSeconds: 90,
      act: async () => {
        await outside.remove(3);
        outside.shop(1, true);
        outside.away(20);
        await outside.close('company', 1);
        await outside.star(1, false);
        sendAll(sources.weidian);
        send(1, sources.talentAndStar);
        send(1, sources.company);
      },
    },
  ];
}

function chanceScript(
  { faults: { random } }: Stage,
  outside: Outside,
  send: Send,
  sendAll: (source: number) => void,
): Act[] {
  const script: Act[] = brokers.map((id) => ({
    atSeconds: 0,
    act: () => send(id, sources.all),
  }));
  for (let change = 0; change < swarmChanges; change++) {
    const id = random.between(1, brokers.length);
    const what = random.between(1, 10);
    const atSeconds = random.between(0, swarmSeconds);
    script.push({ atSeconds, act: () => changed(what, id) });
    // A shop changes again while the request for its first change may still run.
    if (what === 4 || what === 5)
      for (let again = 1; again <= 2; again++)
        script.push({ atSeconds: atSeconds + 3 * again, act: () => changed(what, id) });
  }
  script.push({
    atSeconds: random.between(60, swarmSeconds),
    act: () => outside.away(random.between(0, 300)),
  });
  const [refused, seconds] = [random.between(1, brokers.length), random.between(1, 300)];
  script.push({
    atSeconds: random.between(0, swarmSeconds),
    act: () => {
      for (const id of brokers) outside.shop(id);
      outside.refuse(refused, seconds);
      sendAll(sources.weidian);
    },
  });
  return script;

  async function changed(what: number, id: number): Promise<void> {
    if (what === 1) await outside.remove(id);
    else if (what === 2) await outside.broker(id);
    else if (what <= 5) outside.shop(id, what === 3);
    else if (what === 6) await outside.talent(id);
    else if (what === 7)
      return await outside.star(id, true); // The producer finds it.
    else if (what === 8) await outside.star(id, false);
    if (what <= 2) return send(id, sources.all);
    if (what <= 5) return send(id, sources.weidian);
    if (what <= 8) return send(id, sources.talentAndStar);
    const kind = what === 9 ? 'company' : 'store';
    if (random.happens(0.3)) await outside.close(kind, id);
    else await outside[kind](id);
    send(id, what === 9 ? sources.company : sources.store);
  }
}
