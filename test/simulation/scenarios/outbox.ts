import * as z from 'zod';
import { consume } from '../../../lib/platform/consume.ts';
import { commit, deliverBy, queues as queuesOf, toQueue } from '../../../lib/platform/outbox.ts';
import { queue } from '../../../lib/platform/queue.ts';
import type { PlatformTables } from '../../../lib/platform/schema.ts';
import { mysqlOf } from '../database.ts';
import type { Act, Consumer, Scenario, Stage } from '../play.ts';
import { deliverer } from './deliverer.ts';

const Note = z.object({ id: z.int() });
const steps = queue('simulation/take-step', Note);
const followers = queue('simulation/follow', Note);

interface Tables extends PlatformTables {
  'signalbox.simulated_step': { id: number; followed: number };
}

const swarmSteps = 8;
const swarmSeconds = 300;
/** A minute, at whose end the next run of deliver-due takes over from one that died. */
const followMsMax = 61_000;
/** When faults end a row may just have been taken, out of sight for 30 s, by one that died. */
const followAfterSwarmMsMax = 125_000;

/** A row is written and a message must follow it; the message's consumer marks the row. */
export const outbox: Scenario = {
  name: 'outbox',
  prepare: `create table if not exists signalbox.simulated_step
    (id int primary key, followed int not null)`,
  tables: ['signalbox.outbox', 'signalbox.claim', 'signalbox.simulated_step'],
  begin: (stage) => {
    const { databases, world, faults, queues } = stage;
    const [asked, followed] = [queues.open(steps), queues.open(followers)];
    const committedAtMs = new Map<number, number>();
    const rows = async () => {
      const [found] = await databases.admin.query('select * from signalbox.simulated_step');
      return found as { id: number; followed: number }[];
    };
    return {
      consumers: [taker(stage), marker(stage)],
      schedules: [{ ...deliverer(stage, { timeoutSeconds: 56 }), firstSeconds: 0 }],
      script: scriptOf(stage, (id) => queues.put(asked, JSON.stringify({ id }))),
      safety: async (injected) => {
        for (const { id } of await rows())
          if (!committedAtMs.has(id)) committedAtMs.set(id, world.nowMs);
        const max = faults.exact ? followMsMax * Math.max(1, injected) : followAfterSwarmMsMax;
        for (const [id, atMs] of committedAtMs) {
          const sinceMs = world.nowMs - Math.max(atMs, faults.untilMs);
          if (sinceMs > max && !followed.sent.some(({ body }) => JSON.parse(body).id === id))
            return `Nothing has followed the commit of ${id} for ${sinceMs} ms.`;
        }
        const [dead] = [...queues.dead(steps).sent, ...queues.dead(followers).sent];
        return dead && `Set aside: ${dead.body} because ${dead.reason}`;
      },
      unsettled: async () => {
        const marked = new Map((await rows()).map((row) => [row.id, row.followed]));
        const missing = asked.sent.find(({ body }) => !marked.get(JSON.parse(body).id));
        if (missing) return `Nothing followed ${missing.body}.`;
        const [left] = await databases.admin.query('select * from signalbox.outbox');
        return (left as unknown[]).length ? `The outbox holds ${JSON.stringify(left)}` : undefined;
      },
    };
  },
};

function taker({ databases, world }: Stage): Consumer {
  return {
    queue: steps,
    timeoutSeconds: 10,
    handlerOf: (worker) => {
      const mysql = mysqlOf<Tables>(databases, world, worker);
      const deps = { mysql, deliver: deliverBy(queuesOf(followers)) };
      return consume(steps, ({ id }) =>
        commit(deps, async (trx, follow) => {
          const { numInsertedOrUpdatedRows = 0n } = await trx
            .insertInto('signalbox.simulated_step')
            .ignore()
            .values({ id, followed: 0 })
            .executeTakeFirst();
          if (!numInsertedOrUpdatedRows) return 'taken before';
          follow(toQueue(followers, { id }));
          return 'taken';
        }),
      );
    },
  };
}

function marker({ databases, world }: Stage): Consumer {
  return {
    queue: followers,
    timeoutSeconds: 10,
    handlerOf: (worker) => {
      const mysql = mysqlOf<Tables>(databases, world, worker);
      return consume(followers, async ({ id }) => {
        await mysql
          .updateTable('signalbox.simulated_step')
          .set({ followed: 1 })
          .where('id', '=', id)
          .execute();
        return 'marked';
      });
    },
  };
}

function scriptOf({ faults: { exact, random } }: Stage, ask: (id: number) => void): Act[] {
  return Array.from({ length: exact ? 2 : swarmSteps }, (_, id) => ({
    atSeconds: exact ? 0 : random.between(0, swarmSeconds),
    act: () => ask(id),
  }));
}
