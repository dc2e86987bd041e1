import { bus } from '../../../lib/platform/messaging/bus.ts';
import { deliverDue } from '../../../lib/platform/messaging/deliver-due.ts';
import { type Channel, deliverBy, queuesByName } from '../../../lib/platform/messaging/outbox.ts';
import { busVariable } from '../../../lib/platform/names.ts';
import { mysqlOf } from '../database.ts';
import type { Scheduled, Stage } from '../run-scenario.ts';

process.env[busVariable] ??= 'simulated';

/**
 * platform/deliver-due. By default it gets only 6 s, which is one poll a minute, so that it adds few boundaries to those
 * of the scenario.
 */
export function deliverer(
  { databases, world }: Stage,
  {
    timeoutSeconds = 6,
    deliveriesPerMinuteMax = 6_000,
    channels = [],
  }: {
    timeoutSeconds?: number;
    deliveriesPerMinuteMax?: number;
    /** Where more than queues is written to. */
    channels?: readonly Channel[];
  } = {},
): Scheduled {
  return {
    name: 'deliver-due',
    everySeconds: 60,
    timeoutSeconds,
    run: (worker, remaining) =>
      deliverDue(
        {
          mysql: mysqlOf(databases, world, worker),
          deliver: deliverBy(queuesByName(), bus(), ...channels),
          settings: async () => ({ deliveriesPerMinuteMax }),
          pause: (ms) => new Promise((done) => setTimeout(done, ms)),
        },
        { remaining },
      ),
  };
}
