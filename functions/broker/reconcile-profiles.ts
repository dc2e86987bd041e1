/** Finds rows of the site that differ from upstream permanently, every day, and publishes them to be applied. */
import { Reconcile } from '../../lib/broker/inputs.ts';
import { brokerEvents } from '../../lib/broker/queues.ts';
import { reconcileProfiles } from '../../lib/broker/reconcile/reconcile-profiles.ts';
import type { ReconcileTables } from '../../lib/broker/reconcile/suspects.ts';
import { BrokerSettings } from '../../lib/broker/settings.ts';
import type { UpstreamTables } from '../../lib/broker/tables.ts';
import { byHand } from '../../lib/platform/lambda/by-hand.ts';
import { settings } from '../../lib/platform/lambda/config.ts';
import { deliverBy, queueChannel } from '../../lib/platform/messaging/outbox.ts';
import { longStatements, mysql } from '../../lib/platform/mysql/mysql.ts';
import { switches } from '../../lib/platform/operations/switches.ts';
import { pause } from '../../lib/platform/time.ts';

const ours = mysql<ReconcileTables>('mysql', longStatements);
const deps = {
  mysql: ours,
  upstream: mysql<UpstreamTables>('mysql-upstream', longStatements),
  deliver: deliverBy(queueChannel(brokerEvents)),
  settings: settings('broker', BrokerSettings),
  firstSwitchOff: switches({ mysql: ours }),
  pause,
};

export const handler = byHand(Reconcile, (input, hand) => reconcileProfiles(deps, input, hand));
