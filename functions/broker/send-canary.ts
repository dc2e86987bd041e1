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
import { switches } from '../../lib/platform/switches.ts';
import { pause } from '../../lib/platform/time.ts';

const ours = mysql<CanaryTables>('mysql');
const deps = {
  mysql: ours,
  cache: cache(),
  deliver: deliverBy(queues(brokerEvents), invalidation()),
  settings: settings('broker', BrokerSettings),
  off: switches({ mysql: ours }),
  pause,
};

export const handler = schedule((tick) => sendCanary(deps, tick));
