/** Synchronises extended profiles (micro shops, WeChat talents, star agents) in the mode of its schedule. */
import { Input, publishExtProfiles } from '../../lib/broker/publish/publish-ext-profiles.ts';
import { brokerEvents } from '../../lib/broker/queues.ts';
import { BrokerSettings } from '../../lib/broker/settings.ts';
import type { FullRunTables, UpstreamTables } from '../../lib/broker/tables.ts';
import { settings } from '../../lib/platform/lambda/config.ts';
import { scheduleOf } from '../../lib/platform/lambda/schedule.ts';
import { deliverBy, queueChannel } from '../../lib/platform/messaging/outbox.ts';
import { longStatements, mysql } from '../../lib/platform/mysql/mysql.ts';
import { switches } from '../../lib/platform/operations/switches.ts';

const ours = mysql<FullRunTables>('mysql', longStatements);
const deps = {
  mysql: ours,
  upstream: mysql<UpstreamTables>('mysql-upstream', longStatements),
  settings: settings('broker', BrokerSettings),
  deliver: deliverBy(queueChannel(brokerEvents)),
  firstSwitchOff: switches({ mysql: ours }),
};

export const handler = scheduleOf(Input, (tick) => publishExtProfiles(deps, tick));
