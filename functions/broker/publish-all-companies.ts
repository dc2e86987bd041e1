/** Publishes all companies once, when a person asks for it, so that the site equals upstream whatever was missed. */
import { publishAllCompanies } from '../../lib/broker/everything.ts';
import { PublishAll } from '../../lib/broker/inputs.ts';
import { brokerEvents } from '../../lib/broker/queues.ts';
import { BrokerSettings } from '../../lib/broker/settings.ts';
import type { UpstreamTables, WalkTables } from '../../lib/broker/tables.ts';
import { byHand } from '../../lib/platform/by-hand.ts';
import { settings } from '../../lib/platform/config.ts';
import { longStatements, mysql } from '../../lib/platform/mysql.ts';
import { deliverBy, queues } from '../../lib/platform/outbox.ts';
import { switches } from '../../lib/platform/switches.ts';
import { pause } from '../../lib/platform/time.ts';

const ours = mysql<WalkTables>('mysql', longStatements);
const deps = {
  mysql: ours,
  upstream: mysql<UpstreamTables>('mysql-upstream', longStatements),
  settings: settings('broker', BrokerSettings),
  deliver: deliverBy(queues(brokerEvents)),
  off: switches({ mysql: ours }),
  pause,
};

export const handler = byHand(PublishAll, (input, hand) => publishAllCompanies(deps, input, hand));
