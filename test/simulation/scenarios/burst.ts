import * as z from 'zod';
import { consume } from '../../../lib/platform/messaging/consume.ts';
import { queue } from '../../../lib/platform/messaging/queue.ts';
import { wallTime } from '../../../lib/platform/time.ts';
import type { Scenario } from '../run-scenario.ts';
import { deliverer } from './deliverer.ts';

const due = queue('simulation/come-back', z.object({ id: z.int() }));
const windowMs = 60_000;
const looksPerMinute = 30;
const heldUpMax = 3;

/** `count` messages are due at the same moment: all arrive, in no minute more than `deliveriesPerMinuteMax`. */
export function burstOf(count: number, deliveriesPerMinuteMax: number): Scenario {
  return {
    name: 'burst',
    tables: ['signalbox.outbox', 'signalbox.claim'],
    begin: async (stage) => {
      const { databases, world, queues } = stage;
      const { exact } = stage.faults;
      const perLookMax = Math.ceil(deliveriesPerMinuteMax / looksPerMinute);
      const came = queues.open(due);
      const done = new Set<number>();
      await databases.admin.query(
        `set session cte_max_recursion_depth = ${count + 1};
        insert into signalbox.outbox (destination, body, due_at)
          with recursive n as (select 1 id union all select id + 1 from n where id < ${count})
          select 'queue:${due.id}', concat('{"id":', id, '}'), '${wallTime(new Date(world.nowMs))}' from n`,
      );
      return {
        consumers: [
          {
            queue: due,
            timeoutSeconds: 10,
            handlerOf: () =>
              consume(due, async ({ id }) => {
                done.add(id);
                return 'delivered';
              }),
          },
        ],
        schedules: [deliverer(stage, { timeoutSeconds: 70, deliveriesPerMinuteMax })],
        script: [],
        safety: async (injected) => {
          const lately = came.sent.filter(({ sentAtMs }) => sentAtMs > world.nowMs - windowMs);
          // A worker that was delayed while sending overlaps with its successor.
          const allowed =
            deliveriesPerMinuteMax + (injected || !exact ? perLookMax * heldUpMax : 0);
          if (lately.length <= allowed) return undefined;
          return `${lately.length} deliveries in a minute; ${allowed} are allowed.`;
        },
        unsettled: async () => (done.size < count ? `${done.size} of ${count} came.` : undefined),
      };
    },
  };
}
