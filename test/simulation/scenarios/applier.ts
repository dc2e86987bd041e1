import { applyEvent } from '../../../lib/broker/apply/apply-event.ts';
import { microShopClient } from '../../../lib/broker/apply/micro-shop-client.ts';
import { brokerApplied } from '../../../lib/broker/events.ts';
import { brokerEvents } from '../../../lib/broker/queues.ts';
import type { BrokerSettings } from '../../../lib/broker/settings.ts';
import type { ProfileTables, UpstreamTables } from '../../../lib/broker/tables.ts';
import { bus } from '../../../lib/platform/messaging/bus.ts';
import { consume } from '../../../lib/platform/messaging/consume.ts';
import { type Channel, deliverBy } from '../../../lib/platform/messaging/outbox.ts';
import { busVariable } from '../../../lib/platform/names.ts';
import type { FirstSwitchOff } from '../../../lib/platform/operations/switches.ts';
import type { Exchange } from '../../../lib/platform/partners/http-exchange.ts';
import { mysqlOf } from '../database.ts';
import type { Consumer, Stage } from '../run-scenario.ts';
import { cross, lostConnection, type Worker } from '../world.ts';

const broker_weidian_api = 'http://weishop.simulated';

/** Small pages, so that few rows need several pages. */
export const brokerSettings: BrokerSettings = {
  safetyLagSeconds: 5,
  overlapSeconds: 600,
  pageRowsMax: 2,
  driftGraceSeconds: 180,
  canaryBrokerId: 0,
  broker_weidian_api,
};

/** For scenarios without micro-shops: a request for one is a mistake of the scenario. */
const nobody: Exchange = () => Promise.reject(new Error('This scenario has no micro-shops.'));

/** broker/apply-event. `channels` receive its outbox rows. */
export function applier(
  { databases, world }: Stage,
  {
    channels,
    exchange = nobody,
    off = () => async () => undefined,
  }: {
    readonly channels: readonly Channel[];
    readonly exchange?: Exchange;
    readonly off?: (worker: Worker) => FirstSwitchOff;
  },
): Consumer {
  return {
    queue: brokerEvents,
    timeoutSeconds: 20,
    handlerOf: (worker) => {
      const mysql = mysqlOf<ProfileTables>(databases, world, worker);
      const deps = {
        mysql,
        upstream: mysqlOf<UpstreamTables>(databases, world, worker, 'upstream'),
        deliver: deliverBy(...channels),
        microShopClient: microShopClient(async () => ({ broker_weidian_api }), exchange),
        firstSwitchOff: off(worker),
      };
      return consume(brokerEvents, (event) => applyEvent(deps, event), { mysql });
    },
  };
}

const shownTables = {
  broker_base: 'broker_id',
  broker_ext_profile: 'broker_id',
} as const;

/**
 * Tracks the effects of each change of a profile: two invalidations of its key, and an event. `look` is called after
 * each write, so that it sees every change before its effects.
 */
export function followers({ databases: { admin }, queues }: Stage) {
  process.env[busVariable] ??= 'simulated';
  const forgotten = new Map<string, number>();
  const changes = new Map<string, { row: string; forgotten: number; events: number }>();

  /** The cache as a channel of the outbox; another scenario tests an unavailable cache. */
  const cache: Channel = {
    takes: (destination) => destination === 'invalidate',
    send: (_, bodies) =>
      cross('send', `forget ${bodies.length}`, {
        fail: async () => lostConnection(),
        run: async (fault) => {
          const refused = fault === 'part' ? 1 : 0;
          for (const key of bodies
            .slice(refused)
            .flatMap((body): string[] => JSON.parse(body).keys))
            forgotten.set(key, (forgotten.get(key) ?? 0) + 1);
          return bodies.map((_, index) => (index < refused ? new Error('refused') : undefined));
        },
      }),
  };
  const countOf = (id: string) => forgotten.get(`broker:profile:${id}`) ?? 0;

  return {
    channels: [bus(), cache],

    look: async (): Promise<void> => {
      for (const [table, key] of Object.entries(shownTables)) {
        const [rows] = await admin.query(`select * from user_prop_db.${table}`);
        for (const { weidian_asked_at: _, weidian_failures: __, ...row } of rows as Row[]) {
          const shown = row['is_deleted'] ? '' : JSON.stringify(row);
          const id = String(row[key]);
          const at = `${table} ${id}`;
          if ((changes.get(at)?.row ?? '') === shown) continue;
          const events = queues.events.length;
          changes.set(at, { row: shown, forgotten: countOf(id), events });
        }
      }
    },

    /** Returns a change whose effects are not complete, if any. */
    missing: (): string | undefined => {
      for (const [at, change] of changes) {
        const [, id = ''] = at.split(' ');
        if (countOf(id) < change.forgotten + 2)
          return `The key of ${at} was invalidated ${countOf(id) - change.forgotten} times since its change.`;
        const isPublished = queues.events
          .slice(change.events)
          .some(({ name, body }) => name === brokerApplied.event && idsOf(body).includes(id));
        if (!isPublished) return `No event was sent for the change of ${at}.`;
      }
      return undefined;
    },
  };
}

type Row = Record<string, unknown>;
const idsOf = (body: string): string[] => JSON.parse(body).ids;
