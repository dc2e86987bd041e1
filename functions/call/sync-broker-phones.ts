/** Copies changed telephone numbers of brokers every five minutes, so that owners do not pay for brokers' calls. */
import { syncBrokerPhones } from '../../lib/call/filtering/sync-broker-phones.ts';
import type { UpstreamPhones } from '../../lib/call/filtering/upstream-phones.ts';
import { CallSettings } from '../../lib/call/settings.ts';
import type { CallTables } from '../../lib/call/tables.ts';
import { settings } from '../../lib/platform/lambda/config.ts';
import { schedule } from '../../lib/platform/lambda/schedule.ts';
import { deliverBy } from '../../lib/platform/messaging/outbox.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';

const deps = {
  mysql: mysql<CallTables>('mysql'),
  upstream: mysql<UpstreamPhones>('mysql-upstream'),
  settings: settings('call', CallSettings),
  deliver: deliverBy(),
};

export const handler = schedule((tick) => syncBrokerPhones(deps, tick));
