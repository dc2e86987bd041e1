/** Publishes once more what changed upstream since a time, for who has to make up for a loss. */
import { Rewind } from '../../lib/broker/inputs.ts';
import { brokerEvents } from '../../lib/broker/queues.ts';
import { rewindProducers } from '../../lib/broker/rewind.ts';
import type { UpstreamTables } from '../../lib/broker/tables.ts';
import { byHand } from '../../lib/platform/by-hand.ts';
import { longStatements, mysql } from '../../lib/platform/mysql.ts';
import { deliverBy, queues } from '../../lib/platform/outbox.ts';
import type { PlatformTables } from '../../lib/platform/schema.ts';
import { switches } from '../../lib/platform/switches.ts';

const ours = mysql<PlatformTables>('mysql', longStatements);
const deps = {
  mysql: ours,
  upstream: mysql<UpstreamTables>('mysql-upstream', longStatements),
  deliver: deliverBy(queues(brokerEvents)),
  off: switches({ mysql: ours }),
};

export const handler = byHand(Rewind, (input, hand) => rewindProducers(deps, input, hand));
