/** Makes the user-facing profiles of changed brokers equal to upstream, for everyone who looks at the site. */
import { applyEvent } from '../../lib/broker/profiles.ts';
import { brokerEvents } from '../../lib/broker/queues.ts';
import type { ProfileTables, UpstreamTables } from '../../lib/broker/tables.ts';
import { consume } from '../../lib/platform/consume.ts';
import { mysql } from '../../lib/platform/mysql.ts';

const deps = {
  mysql: mysql<ProfileTables>('mysql'),
  upstream: mysql<UpstreamTables>('mysql-upstream'),
};

export const handler = consume(brokerEvents, (event) => applyEvent(deps, event));
