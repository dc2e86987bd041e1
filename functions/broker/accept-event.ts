/** Takes what upstream systems say has changed, for those that reach us by HTTP and not by the queue. */
import { publishEvent } from '../../lib/broker/publications.ts';
import { brokerEvents } from '../../lib/broker/queues.ts';
import { acceptEvent } from '../../lib/broker/routes.ts';
import { mysql } from '../../lib/platform/mysql.ts';
import { deliverBy, queues } from '../../lib/platform/outbox.ts';
import { respond } from '../../lib/platform/respond.ts';
import type { PlatformTables } from '../../lib/platform/schema.ts';
import { switches } from '../../lib/platform/switches.ts';

const ours = mysql<PlatformTables>('mysql');
const deps = {
  mysql: ours,
  deliver: deliverBy(queues(brokerEvents)),
  off: switches({ mysql: ours }),
};

export const handler = respond(acceptEvent, ({ body }) => publishEvent(deps, body), deps);
