/** Logs each finished call of the 400 service, and decides whether the owner who received it pays for it. */
import { brokersKnownCheck } from '../../lib/call/filtering/broker-phone-runs.ts';
import { filterCall } from '../../lib/call/filtering/filter-call.ts';
import type { UpstreamPhones } from '../../lib/call/filtering/upstream-phones.ts';
import { callsToCharge, finishedCalls } from '../../lib/call/queues.ts';
import { CallSettings } from '../../lib/call/settings.ts';
import type { CallTables } from '../../lib/call/tables.ts';
import { settings } from '../../lib/platform/lambda/config.ts';
import { consume } from '../../lib/platform/messaging/consume.ts';
import { deliverBy, queueChannel } from '../../lib/platform/messaging/outbox.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { switches } from '../../lib/platform/operations/switches.ts';

const [db, document] = [mysql<CallTables>('mysql'), settings('call', CallSettings)];
const upstream = mysql<UpstreamPhones>('mysql-upstream');
const now = () => new Date();
const deps = {
  mysql: db,
  settings: document,
  deliver: deliverBy(queueChannel(callsToCharge)),
  firstSwitchOff: switches({ mysql: db }),
  requireBrokersKnown: brokersKnownCheck({ mysql: db, upstream, settings: document, now }),
};
export const handler = consume(finishedCalls, (call) => filterCall(deps, call), { mysql: db });
