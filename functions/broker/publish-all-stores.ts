/** Publishes all stores once, when a person starts it, to make the site equal upstream after missed changes. */
import { PublishAll } from '../../lib/broker/inputs.ts';
import { publishAllStores } from '../../lib/broker/publish/publish-all.ts';
import { brokerEvents } from '../../lib/broker/queues.ts';
import { BrokerSettings } from '../../lib/broker/settings.ts';
import type { FullRunTables, UpstreamTables } from '../../lib/broker/tables.ts';
import { byHand } from '../../lib/platform/lambda/by-hand.ts';
import { settings } from '../../lib/platform/lambda/config.ts';
import { deliverBy, queueChannel } from '../../lib/platform/messaging/outbox.ts';
import { longStatements, mysql } from '../../lib/platform/mysql/mysql.ts';
import { switches } from '../../lib/platform/operations/switches.ts';
import { pause } from '../../lib/platform/time.ts';

const ours = mysql<FullRunTables>('mysql', longStatements);
const deps = {
  mysql: ours,
  upstream: mysql<UpstreamTables>('mysql-upstream', longStatements),
  settings: settings('broker', BrokerSettings),
  deliver: deliverBy(queueChannel(brokerEvents)),
  firstSwitchOff: switches({ mysql: ours }),
  pause,
};

export const handler = byHand(PublishAll, (input, hand) => publishAllStores(deps, input, hand));
