/** Makes the user-facing profiles of changed brokers equal to upstream, so that the site shows current data. */
import { applyEvent } from '../../lib/broker/apply/apply-event.ts';
import { microShopClient } from '../../lib/broker/apply/micro-shop-client.ts';
import { brokerEvents } from '../../lib/broker/queues.ts';
import { BrokerSettings } from '../../lib/broker/settings.ts';
import type { ProfileTables, UpstreamTables } from '../../lib/broker/tables.ts';
import { invalidation } from '../../lib/platform/cache/invalidation.ts';
import { settings } from '../../lib/platform/lambda/config.ts';
import { bus } from '../../lib/platform/messaging/bus.ts';
import { consume } from '../../lib/platform/messaging/consume.ts';
import { deliverBy } from '../../lib/platform/messaging/outbox.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { switches } from '../../lib/platform/operations/switches.ts';

const ours = mysql<ProfileTables>('mysql');
const deps = {
  mysql: ours,
  upstream: mysql<UpstreamTables>('mysql-upstream'),
  microShopClient: microShopClient(settings('broker', BrokerSettings)),
  deliver: deliverBy(bus(), invalidation()),
  firstSwitchOff: switches({ mysql: ours }),
};

export const handler = consume(brokerEvents, (event) => applyEvent(deps, event), deps);
