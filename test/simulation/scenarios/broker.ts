import { publishBaseChanges } from '../../../lib/broker/publish/publish-changes.ts';
import { brokerEvents } from '../../../lib/broker/queues.ts';
import { brokerSwitches } from '../../../lib/broker/switches.ts';
import { deliverBy, queueChannel as queuesOf } from '../../../lib/platform/messaging/outbox.ts';
import { mysqlOf } from '../database.ts';
import type { Act, Scenario, Scheduled, Stage } from '../run-scenario.ts';
import { applier, brokerSettings, followers } from './applier.ts';
import { deliverer } from './deliverer.ts';
import { publishing, switching, switchTables } from './switching.ts';
import { type Upstream, upstreamOf } from './upstream.ts';

const lateSecondsMax = 300;
const swarmChanges = 14;
const swarmPairs = 5;
const swarmSetBack = 2;
const swarmSeconds = 600;

const bad = [
  { body: '{"broker_ids": "1"', reason: 'The body is not JSON.' },
  {
    body: '{"broker_ids":"1","flag":2,"source":4}',
    reason: 'source: Expected one of 0, 1, 2, 3, 99, 100, 101',
  },
] as const;

/** Changes of upstream rows reach the site, through the scan or through messages. */
export const broker: Scenario = {
  name: 'broker',
  tables: [
    ...['signalbox.scan_cursor', 'signalbox.scan_seen', 'signalbox.outbox', 'signalbox.claim'],
    ...switchTables,
    ...['user_prop_db.broker_base', 'anjuke_db.ajk_broker', 'anjuke_db.ajk_brokerextend'],
  ],
  begin: (stage) => {
    const { faults, queues } = stage;
    const upstream = upstreamOf(stage);
    const queue = queues.open(brokerEvents);
    const dead = queues.dead(brokerEvents);
    const follow = followers(stage);
    const producer = 'broker/publish-base-changes';
    const kill = switching(stage, brokerSwitches, [producer], swarmSeconds, {
      [producer]: publishing('publish-base-changes'),
    });
    const send = (body: string) => queues.put(queue, body);
    return {
      consumers: [applier(stage, follow)],
      schedules: [publisher(stage, kill.off), deliverer(stage, follow)],
      script: [...(faults.exact ? fixedScript : chanceScript)(stage, upstream, send), ...kill.acts],
      passed: kill.passed,
      safety: async (injected) => {
        await follow.look();
        return (
          (await upstream.wrongOnSite()) ??
          wrongDead(dead.sent) ??
          (faults.exact ? upstream.publishedTooOften(queue.sent, injected) : undefined)
        );
      },
      unsettled: async () =>
        (await upstream.missingOnSite()) ?? missingDead(dead.sent, queue.sent) ?? follow.missing(),
    };
  },
};

const awaySeconds = 60;

/** The same while upstream MySQL is unavailable for a minute, in which rows change and messages come. */
export const brokerUpstreamAway: Scenario = {
  ...broker,
  name: 'broker-upstream-away',
  begin: async (stage) => {
    const { world } = stage;
    const played = await broker.begin(stage);
    const away = () => void world.awayUntilMs.set('upstream', world.nowMs + awaySeconds * 1000);
    return { ...played, script: [...played.script, { atSeconds: 30, act: away }] };
  },
};

function publisher(
  { databases, world }: Stage,
  off: ReturnType<typeof switching>['off'],
): Scheduled {
  return {
    name: 'publish-base-changes',
    everySeconds: 60,
    timeoutSeconds: 55,
    run: (worker, remaining) =>
      publishBaseChanges(
        {
          mysql: mysqlOf(databases, world, worker),
          upstream: mysqlOf(databases, world, worker, 'upstream'),
          settings: async () => brokerSettings,
          deliver: deliverBy(queuesOf(brokerEvents)),
          firstSwitchOff: off(worker),
        },
        { remaining },
      ),
  };
}

type Letters = readonly { readonly body: string; readonly reason: string | undefined }[];

function wrongDead(dead: Letters): string | undefined {
  const wrong = dead.find(
    (one) => !bad.some(({ body, reason }) => body === one.body && reason === one.reason),
  );
  return wrong && `Set aside without reason: ${wrong.body} because ${wrong.reason}`;
}

function missingDead(dead: Letters, sent: Letters): string | undefined {
  const expected = sent.filter(({ body }) => bad.some((one) => one.body === body));
  const missing = expected.find(({ body }) => !dead.some((one) => one.body === body));
  return missing && `Not set aside: ${missing.body}`;
}

const named = (id: number) => JSON.stringify({ broker_ids: String(id), flag: 3, source: 1 });

type Script = (stage: Stage, upstream: Upstream, send: (body: string) => void) => Act[];

const fixedScript: Script = (_, upstream, send) => [
  {
    atSeconds: 0,
    act: async () => {
      for (const id of [1, 2, 3, 4]) await upstream.rename(id);
      await upstream.call(1);
      for (const { body } of bad) send(body);
    },
  },
  {
    atSeconds: 61,
    act: async () => {
      await upstream.remove(2);
      send(named(2));
      // In a second that the scan has read already, so that only the content shows the change.
      await upstream.rename(1, { lateSeconds: 61 });
      await upstream.rename(3, { lateSeconds: lateSecondsMax });
    },
  },
];

const chanceScript: Script = ({ faults: { random } }, upstream, send) => {
  const script: Act[] = bad.map(({ body }) => ({
    atSeconds: random.between(0, swarmSeconds),
    act: () => send(body),
  }));
  // Twice within one second, each with a message: the timestamps do not show the order.
  for (let pair = 0; pair < swarmPairs; pair++) {
    const [id, atSeconds] = [random.between(1, 4), random.between(0, swarmSeconds)];
    const act = async () => {
      await upstream.rename(id);
      send(named(id));
    };
    script.push({ atSeconds, act }, { atSeconds, act });
  }
  // More than one page within one second.
  script.push({
    atSeconds: random.between(0, swarmSeconds),
    act: async () => {
      for (const id of [1, 2, 3, 4]) await upstream.rename(id);
    },
  });
  for (let change = 0; change < swarmChanges; change++) {
    const id = random.between(1, 4);
    const lateSeconds = random.happens(0.3) ? random.between(0, lateSecondsMax) : 0;
    const what = random.between(1, 10);
    script.push({
      atSeconds: random.between(0, swarmSeconds),
      act: async () => {
        if (what === 1) await upstream.remove(id);
        else if (what <= 3) await upstream.call(id, { lateSeconds });
        else await upstream.rename(id, { lateSeconds, status: what === 4 ? 0 : 1 });
        if (what === 1 || what >= 8) send(named(id));
      },
    });
  }
  for (let change = 0; change < swarmSetBack; change++) {
    const [id, atSeconds] = [random.between(1, 4), random.between(60, swarmSeconds)];
    const act = async () => {
      await upstream.setBack(id);
      send(named(id));
    };
    script.push({ atSeconds, act });
  }
  return script;
};
