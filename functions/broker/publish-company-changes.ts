/** Notices, every minute, which companies changed upstream, and publishes them to be applied. */
import { publishCompanyChanges } from '../../lib/broker/changes.ts';
import { brokerEvents } from '../../lib/broker/queues.ts';
import { BrokerSettings } from '../../lib/broker/settings.ts';
import type { UpstreamTables } from '../../lib/broker/tables.ts';
import { settings } from '../../lib/platform/config.ts';
import { mysql } from '../../lib/platform/mysql.ts';
import { deliverBy, queues } from '../../lib/platform/outbox.ts';
import { schedule } from '../../lib/platform/schedule.ts';
import type { PlatformTables } from '../../lib/platform/schema.ts';
import { switches } from '../../lib/platform/switches.ts';

const deps = {
  mysql: mysql<PlatformTables>('mysql'),
  upstream: mysql<UpstreamTables>('mysql-upstream'),
  settings: settings('broker', BrokerSettings),
  deliver: deliverBy(queues(brokerEvents)),
};
const off = switches(deps);

export const handler = schedule((tick) => publishCompanyChanges({ ...deps, off }, tick));
