/** Measures, every five minutes, how long a broker's change takes to reach the readers of the site. */
import { brokerEvents } from '../../lib/broker/queues.ts';
import { type CanaryTables, sendCanary } from '../../lib/broker/read/send-canary.ts';
import { BrokerSettings } from '../../lib/broker/settings.ts';
import { invalidation } from '../../lib/platform/cache/invalidation.ts';
import { cache } from '../../lib/platform/cache/redis.ts';
import { settings } from '../../lib/platform/lambda/config.ts';
import { schedule } from '../../lib/platform/lambda/schedule.ts';
import { deliverBy, queueChannel } from '../../lib/platform/messaging/outbox.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { switches } from '../../lib/platform/operations/switches.ts';
import { pause } from '../../lib/platform/time.ts';

const ours = mysql<CanaryTables>('mysql');
const deps = {
  mysql: ours,
  cache: cache(),
  deliver: deliverBy(queueChannel(brokerEvents), invalidation()),
  settings: settings('broker', BrokerSettings),
  firstSwitchOff: switches({ mysql: ours }),
  pause,
};

export const handler = schedule((tick) => sendCanary(deps, tick));
