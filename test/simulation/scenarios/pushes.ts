import { pushChange } from '../../../lib/order/pushes/push-change.ts';
import { singerAt } from '../../../lib/order/pushes/singer.ts';
import { pushesToSend } from '../../../lib/order/queues.ts';
import { orderSwitches } from '../../../lib/order/switches.ts';
import type { PushTables } from '../../../lib/order/tables.ts';
import { bus } from '../../../lib/platform/messaging/bus.ts';
import { consume } from '../../../lib/platform/messaging/consume.ts';
import { deliverBy, queueChannel as queuesOf } from '../../../lib/platform/messaging/outbox.ts';
import { setSwitch } from '../../../lib/platform/operations/set-switch.ts';
import { switches } from '../../../lib/platform/operations/switches.ts';
import type { PlatformTables } from '../../../lib/platform/tables.ts';
import { mysqlOf } from '../database.ts';
import type { Act, Consumer, Scenario, Stage } from '../run-scenario.ts';
import { startMs, type Worker } from '../world.ts';
import { deliverer } from './deliverer.ts';
import { type Orders, ordersOf } from './orders.ts';
import { promisesOf } from './push-promises.ts';
import { type SimulatedSinger, singerOf } from './simulated-singer.ts';

const swarmOrders = 4;
const swarmChanges = 20;
const swarmSeconds = 800;
const hourMs = 3_600_000;
/** The clock of the order system may be ahead of ours, so that a push expires late. */
const aheadMsMin = 1.6 * hourMs;
const aheadMsMax = 2 * hourMs;
/** The period without events while the answers of one order are lost for over a day. */
const leap = { fromMs: startMs + hourMs, toMs: startMs + 22.9 * hourMs };

/** Order changes reach the push service once each and in order, or end in a state that says why not. */
export const pushes: Scenario = {
  name: 'pushes',
  tables: [
    ...['signalbox.outbox', 'signalbox.claim', 'signalbox.switch', 'signalbox.audit'],
    ...['push_db.push', 'push_db.order_seen', 'push_db.push_log'],
  ],
  begin: (stage) => {
    const { faults, queues } = stage;
    const { random, exact } = faults;
    const queue = queues.open(pushesToSend);
    const orders = ordersOf(stage);
    const service = singerOf(stage, swarmOrders);
    const ahead = !exact && (service.losesForLong || random.happens(0.2));
    const aheadMs = ahead ? random.between(aheadMsMin, aheadMsMax) : 0;
    const nudge = (order: number) => queues.put(queue, JSON.stringify({ order_id: `${order}` }));
    const script = exact
      ? fixedScript(orders, nudge)
      : [...chanceScript(stage, orders, nudge, aheadMs), ...switchActs(stage)];
    const promises = promisesOf(stage, orders, service);
    return {
      consumers: [pusher(stage, service)],
      schedules: [deliverer(stage)],
      script,
      ...(service.losesForLong && { leap }),
      ...promises,
    };
  },
};

function pusher({ databases, world }: Stage, { exchange }: SimulatedSinger): Consumer {
  const singer_url = 'https://singer.simulated';
  return {
    queue: pushesToSend,
    timeoutSeconds: 60,
    handlerOf: (worker) => {
      const mysql = mysqlOf<PushTables>(databases, world, worker);
      const platform = mysqlOf<PlatformTables>(databases, world, worker);
      const deps = {
        mysql,
        settings: async () => ({ singer_url }),
        singerAt: singerAt(exchange),
        deliver: deliverBy(queuesOf(pushesToSend), bus()),
        firstSwitchOff: switches({ mysql: platform }, () => world.nowMs),
      };
      return consume(pushesToSend, (message) => pushChange(deps, message), { mysql: platform });
    },
  };
}

/** Makes two changes at once, each with its message. */
const fixedScript = (orders: Orders, nudge: (order: number) => void): Act[] =>
  [8, 13].map((scenario) => ({
    atSeconds: 0,
    act: async () => {
      await orders.happens(1, scenario);
      nudge(1);
    },
  }));

function chanceScript(
  { faults: { random } }: Stage,
  orders: Orders,
  nudge: (order: number) => void,
  aheadMs: number,
): Act[] {
  return Array.from({ length: swarmChanges }, () => {
    const order = random.between(1, swarmOrders);
    return {
      atSeconds: random.between(0, swarmSeconds),
      act: async () => {
        await orders.goesOn(order, aheadMs);
        nudge(order);
      },
    };
  });
}

/** In some runs all pushes, or those of one scenario, are switched off for a while. */
function switchActs({ databases, world, faults: { random } }: Stage): Act[] {
  if (random.happens(0.6)) return [];
  const name = random.happens(0.5) ? 'order/singer' : `order/scenario-${random.between(1, 15)}`;
  const nobody = { connections: new Set() } as unknown as Worker;
  const mysql = mysqlOf<PlatformTables>(databases, world, nobody);
  const turned = (state: 'off' | 'on') => async () => {
    await setSwitch(
      { mysql, known: orderSwitches },
      { name, state, by: 'simulation', why: 'to see what waits' },
    );
  };
  const offSeconds = random.between(0, swarmSeconds);
  return [
    { atSeconds: offSeconds, act: turned('off') },
    { atSeconds: offSeconds + random.between(1, 1_800), act: turned('on') },
  ];
}
