/** Finds the stores that changed upstream, every minute, and publishes them to be applied. */
import { publishStoreChanges } from '../../lib/broker/publish/publish-changes.ts';
import { brokerEvents } from '../../lib/broker/queues.ts';
import { BrokerSettings } from '../../lib/broker/settings.ts';
import type { UpstreamTables } from '../../lib/broker/tables.ts';
import { settings } from '../../lib/platform/lambda/config.ts';
import { schedule } from '../../lib/platform/lambda/schedule.ts';
import { deliverBy, queueChannel } from '../../lib/platform/messaging/outbox.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { switches } from '../../lib/platform/operations/switches.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';

const deps = {
  mysql: mysql<PlatformTables>('mysql'),
  upstream: mysql<UpstreamTables>('mysql-upstream'),
  settings: settings('broker', BrokerSettings),
  deliver: deliverBy(queueChannel(brokerEvents)),
};
const firstSwitchOff = switches(deps);

export const handler = schedule((tick) => publishStoreChanges({ ...deps, firstSwitchOff }, tick));
