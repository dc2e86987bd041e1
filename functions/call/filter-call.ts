/** Writes down each finished call of the 400 service, and decides whether the owner who got it pays for it. */
import { brokersKnown } from '../../lib/call/broker-phone-runs.ts';
import { filterCallUnlessOff } from '../../lib/call/calls.ts';
import { callsToCharge, finishedCalls } from '../../lib/call/queues.ts';
import { CallSettings } from '../../lib/call/settings.ts';
import type { CallTables } from '../../lib/call/tables.ts';
import type { UpstreamPhones } from '../../lib/call/upstream-phones.ts';
import { settings } from '../../lib/platform/config.ts';
import { consume } from '../../lib/platform/consume.ts';
import { mysql } from '../../lib/platform/mysql.ts';
import { deliverBy, queues } from '../../lib/platform/outbox.ts';
import { switches } from '../../lib/platform/switches.ts';

const [db, document] = [mysql<CallTables>('mysql'), settings('call', CallSettings)];
const upstream = mysql<UpstreamPhones>('mysql-upstream');
const now = () => new Date();
const deps = {
  ...{ mysql: db, settings: document, deliver: deliverBy(queues(callsToCharge)) },
  stopped: switches({ mysql: db }),
  brokersKnown: brokersKnown({ mysql: db, upstream, settings: document, now }),
};
export const handler = consume(finishedCalls, (call) => filterCallUnlessOff(deps, call), {
  mysql: db,
});
