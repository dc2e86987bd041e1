/** Accepts over HTTP which brokers, stores or companies changed, from upstream systems that cannot use the queue. */
import { acceptEvent } from '../../lib/broker/publish/accept-event.ts';
import { brokerEvents } from '../../lib/broker/queues.ts';
import { acceptEventRoute } from '../../lib/broker/routes.ts';
import { respond } from '../../lib/platform/http/respond.ts';
import { deliverBy, queueChannel } from '../../lib/platform/messaging/outbox.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { switches } from '../../lib/platform/operations/switches.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';

const ours = mysql<PlatformTables>('mysql');
const deps = {
  mysql: ours,
  deliver: deliverBy(queueChannel(brokerEvents)),
  firstSwitchOff: switches({ mysql: ours }),
};

export const handler = respond(acceptEventRoute, ({ body }) => acceptEvent(deps, body), deps);
