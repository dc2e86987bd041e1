/** Makes the user-facing profiles of changed brokers equal to upstream, for everyone who looks at the site. */
import { applyEvent } from '../../lib/broker/profiles.ts';
import { brokerEvents } from '../../lib/broker/queues.ts';
import { BrokerSettings } from '../../lib/broker/settings.ts';
import type { ProfileTables, UpstreamTables } from '../../lib/broker/tables.ts';
import { weishop } from '../../lib/broker/weishop.ts';
import { bus } from '../../lib/platform/bus.ts';
import { settings } from '../../lib/platform/config.ts';
import { consume } from '../../lib/platform/consume.ts';
import { invalidation } from '../../lib/platform/invalidation.ts';
import { mysql } from '../../lib/platform/mysql.ts';
import { deliverBy } from '../../lib/platform/outbox.ts';
import { cache } from '../../lib/platform/redis.ts';
import { switches } from '../../lib/platform/switches.ts';

const ours = mysql<ProfileTables>('mysql');
const deps = {
  mysql: ours,
  upstream: mysql<UpstreamTables>('mysql-upstream'),
  weishop: weishop(settings('broker', BrokerSettings)),
  deliver: deliverBy(bus(), invalidation(cache())),
  off: switches({ mysql: ours }),
};

export const handler = consume(brokerEvents, (event) => applyEvent(deps, event), deps);
