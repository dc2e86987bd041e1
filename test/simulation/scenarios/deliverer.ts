import { deliverDue } from '../../../lib/platform/delivery.ts';
import { invalidation } from '../../../lib/platform/invalidation.ts';
import { anyQueue, deliverBy } from '../../../lib/platform/outbox.ts';
import { mysqlOf } from '../database.ts';
import type { Scheduled, Stage } from '../play.ts';
import type { SimulatedRedis } from '../redis.ts';

/**
 * platform/deliver-due. Where it only has to be there, it gets no more than 6 s, which is one look a minute: few
 * boundaries beside those of what is tried out.
 */
export function deliverer(
  { databases, world }: Stage,
  {
    timeoutSeconds = 6,
    deliveriesPerMinuteMax = 6_000,
    redis,
  }: { timeoutSeconds?: number; deliveriesPerMinuteMax?: number; redis?: SimulatedRedis } = {},
): Scheduled {
  const channels = redis ? [invalidation(redis.cacheFor(0))] : [];
  return {
    name: 'deliver-due',
    everySeconds: 60,
    timeoutSeconds,
    run: (worker, remaining) =>
      deliverDue(
        {
          mysql: mysqlOf(databases, world, worker),
          deliver: deliverBy(anyQueue(), ...channels),
          settings: async () => ({ deliveriesPerMinuteMax }),
          pause: (ms) => new Promise((done) => setTimeout(done, ms)),
        },
        { remaining },
      ),
  };
}
