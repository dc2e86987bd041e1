/** Measures, every five minutes, how long a change of a broker takes to reach who reads the site. */
import { type CanaryTables, sendCanary } from '../../lib/broker/canary.ts';
import { brokerEvents } from '../../lib/broker/queues.ts';
import { BrokerSettings } from '../../lib/broker/settings.ts';
import { settings } from '../../lib/platform/config.ts';
import { invalidation } from '../../lib/platform/invalidation.ts';
import { mysql } from '../../lib/platform/mysql.ts';
import { deliverBy, queues } from '../../lib/platform/outbox.ts';
import { cache } from '../../lib/platform/redis.ts';
import { schedule } from '../../lib/platform/schedule.ts';
import { pause } from '../../lib/platform/time.ts';

const reads = cache();
const deps = {
  mysql: mysql<CanaryTables>('mysql'),
  cache: reads,
  deliver: deliverBy(queues(brokerEvents), invalidation(reads)),
  settings: settings('broker', BrokerSettings),
  pause,
};

export const handler = schedule((tick) => sendCanary(deps, tick));
