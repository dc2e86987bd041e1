import { publishAllBases } from '../../../lib/broker/publish/publish-all.ts';
import { brokerEvents } from '../../../lib/broker/queues.ts';
import { brokerSwitches } from '../../../lib/broker/switches.ts';
import { deliverBy, queueChannel as queuesOf } from '../../../lib/platform/messaging/outbox.ts';
import { mysqlOf } from '../database.ts';
import type { Scenario, Scheduled, Stage } from '../run-scenario.ts';
import { applier, brokerSettings, followers } from './applier.ts';
import { deliverer } from './deliverer.ts';
import { publishing, switching, switchTables } from './switching.ts';
import { upstreamOf } from './upstream.ts';

const brokers = 5;
const swarmSeconds = 120;
/** Brokers on the site that upstream has deleted; one id is above all others. */
const gone = [2, 9];

/**
 * A person starts broker/publish-all-bases until it is done. Wherever a run crashes, the site equals upstream in the
 * end, brokers that upstream deleted are marked as deleted, and no run publishes an id twice.
 */
export const everything: Scenario = {
  name: 'everything',
  tables: [
    ...['signalbox.outbox', 'signalbox.claim', 'signalbox.broker_walk', ...switchTables],
    ...['user_prop_db.broker_base', 'user_prop_db.broker_ext_profile'],
    ...['anjuke_db.ajk_broker', 'anjuke_db.ajk_brokerextend'],
  ],
  begin: async (stage) => {
    const { databases, queues } = stage;
    const upstream = upstreamOf(stage);
    const follow = followers(stage);
    const queue = queues.open(brokerEvents);
    const producer = 'broker/publish-all-bases';
    const kill = switching(stage, brokerSwitches, [producer], swarmSeconds, {
      [producer]: publishing('publish-all-bases'),
    });
    const person = caller(stage, kill.off);
    for (let id = 1; id <= brokers; id++) await upstream.rename(id);
    for (const id of gone) {
      await upstream.remove(id);
      await databases.admin.query(
        'insert into user_prop_db.broker_base (broker_id, is_deleted) values (?, 0)',
        [id],
      );
    }
    return {
      consumers: [applier(stage, follow)],
      schedules: [person.calls, deliverer(stage, follow)],
      script: kill.acts,
      passed: kill.passed,
      safety: async () => {
        await follow.look();
        const [dead] = queues.dead(brokerEvents).sent;
        if (dead) return `Dead-lettered: ${dead.body} because ${dead.reason}`;
        const [rows] = await databases.admin.query('select * from signalbox.broker_walk');
        for (const { run, published } of rows as { run: number; published: string }[])
          if (Number(published) > brokers + gone.length)
            return `Run ${run} has published ${published} ids.`;
        return undefined;
      },
      unsettled: async () => {
        if (!person.isDone()) return 'The full run is not done.';
        const ids = new Set(
          queue.sent.flatMap(({ body }): string[] => JSON.parse(body).broker_ids.split(',')),
        );
        if (ids.size < brokers + 1) return `Only ${[...ids]} were published.`;
        return (await upstream.missingOnSite()) ?? follow.missing();
      },
    };
  },
};

/** A person who starts the function every minute until its outcome is `published`. */
function caller({ databases, world }: Stage, off: ReturnType<typeof switching>['off']) {
  let done = false;
  const calls: Scheduled = {
    name: 'publish-all-bases',
    everySeconds: 60,
    firstSeconds: 0,
    timeoutSeconds: 50,
    run: async (worker, remaining) => {
      if (done) return;
      const { outcome } = await publishAllBases(
        {
          mysql: mysqlOf(databases, world, worker),
          upstream: mysqlOf(databases, world, worker, 'upstream'),
          settings: async () => ({
            ...brokerSettings,
            pageRowsMax: 2,
          }),
          deliver: deliverBy(queuesOf(brokerEvents)),
          firstSwitchOff: off(worker),
          pause: (ms) => new Promise((over) => setTimeout(over, ms)),
        },
        { by: 'simulation' },
        { remaining, progress: () => {} },
      );
      done = outcome === 'published';
    },
  };
  return { calls, isDone: () => done };
}
