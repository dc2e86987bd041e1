/** Republishes what changed upstream since a time, when a person has to repair a loss. */
import { Rewind } from '../../lib/broker/inputs.ts';
import { rewindProducers } from '../../lib/broker/publish/rewind-producers.ts';
import { brokerEvents } from '../../lib/broker/queues.ts';
import type { UpstreamTables } from '../../lib/broker/tables.ts';
import { byHand } from '../../lib/platform/lambda/by-hand.ts';
import { deliverBy, queueChannel } from '../../lib/platform/messaging/outbox.ts';
import { longStatements, mysql } from '../../lib/platform/mysql/mysql.ts';
import { switches } from '../../lib/platform/operations/switches.ts';
import type { PlatformTables } from '../../lib/platform/tables.ts';

const ours = mysql<PlatformTables>('mysql', longStatements);
const deps = {
  mysql: ours,
  upstream: mysql<UpstreamTables>('mysql-upstream', longStatements),
  deliver: deliverBy(queueChannel(brokerEvents)),
  firstSwitchOff: switches({ mysql: ours }),
};

export const handler = byHand(Rewind, (input, hand) => rewindProducers(deps, input, hand));
