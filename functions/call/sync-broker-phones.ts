/** Notices, every five minutes, which brokers' telephone numbers changed, so that owners do not pay for their calls. */
import { syncBrokerPhones } from '../../lib/call/broker-phones.ts';
import { CallSettings } from '../../lib/call/settings.ts';
import type { CallTables } from '../../lib/call/tables.ts';
import type { UpstreamPhones } from '../../lib/call/upstream-phones.ts';
import { settings } from '../../lib/platform/config.ts';
import { mysql } from '../../lib/platform/mysql.ts';
import { deliverBy } from '../../lib/platform/outbox.ts';
import { schedule } from '../../lib/platform/schedule.ts';

const deps = {
  mysql: mysql<CallTables>('mysql'),
  upstream: mysql<UpstreamPhones>('mysql-upstream'),
  settings: settings('call', CallSettings),
  deliver: deliverBy(),
};

export const handler = schedule((tick) => syncBrokerPhones(deps, tick));
