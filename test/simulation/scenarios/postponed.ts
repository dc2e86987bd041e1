import * as z from 'zod';
import { Postponed } from '../../../lib/platform/errors.ts';
import { consume } from '../../../lib/platform/messaging/consume.ts';
import { queue } from '../../../lib/platform/messaging/queue.ts';
import type { PlatformTables } from '../../../lib/platform/tables.ts';
import { mysqlOf } from '../database.ts';
import type { Scenario } from '../run-scenario.ts';
import { startMs } from '../world.ts';
import { deliverer } from './deliverer.ts';

const waiters = queue('simulation/wait', z.object({ id: z.int() }));

const dayMs = 86_400_000;
const restlessMs = 600_000;
const againSeconds = 5;
const swarmMessages = 4;
const swarmSeconds = 300;

/**
 * A consumer postpones each message, for ten minutes repeatedly by a few seconds, then by forty days. Afterwards the
 * message comes back; it is never dead-lettered.
 */
export const postponed: Scenario = {
  name: 'postponed',
  tables: ['signalbox.outbox', 'signalbox.claim'],
  begin: (stage) => {
    const { databases, world, faults, queues } = stage;
    const { random } = faults;
    const queued = queues.open(waiters);
    const untilMs = startMs + 40 * dayMs;
    const done = new Set<number>();
    return {
      consumers: [
        {
          queue: waiters,
          timeoutSeconds: 10,
          handlerOf: (worker) => {
            const mysql = mysqlOf<PlatformTables>(databases, world, worker);
            const handle = async ({ id }: { id: number }) => {
              const { nowMs } = world;
              const againMs = nowMs < startMs + restlessMs ? nowMs + againSeconds * 1000 : untilMs;
              if (nowMs < untilMs) throw new Postponed(new Date(againMs), 'not yet');
              done.add(id);
              return 'applied' as const;
            };
            return consume(waiters, handle, { mysql });
          },
        },
      ],
      schedules: [deliverer(stage)],
      script: Array.from({ length: faults.exact ? 1 : swarmMessages }, (_, id) => ({
        atSeconds: faults.exact ? 0 : random.between(0, swarmSeconds),
        act: () => queues.put(queued, JSON.stringify({ id })),
      })),
      // In these weeks no row is due: every run of deliver-due would find nothing.
      leap: {
        fromMs: Math.max(faults.untilMs, startMs + restlessMs) + 150_000,
        toMs: untilMs - 60_000,
      },
      settleByMs: untilMs + 2 * dayMs,
      safety: async () => {
        const [dead] = queues.dead(waiters).sent;
        return dead && `Dead-lettered: ${dead.body} because ${dead.reason}`;
      },
      unsettled: async () => {
        const waiting = queued.sent.find(({ body }) => !done.has(JSON.parse(body).id));
        if (waiting) return `${waiting.body} still waits.`;
        const [left] = await databases.admin.query('select * from signalbox.outbox');
        return (left as unknown[]).length ? `The outbox holds ${JSON.stringify(left)}` : undefined;
      },
    };
  },
};
