/** Writes down each finished call of the 400 service, and decides whether the owner who got it pays for it. */
import { filterCall } from '../../lib/call/calls.ts';
import { callsToCharge, finishedCalls } from '../../lib/call/queues.ts';
import { CallSettings } from '../../lib/call/settings.ts';
import type { CallTables } from '../../lib/call/tables.ts';
import { settings } from '../../lib/platform/config.ts';
import { consume } from '../../lib/platform/consume.ts';
import { mysql } from '../../lib/platform/mysql.ts';
import { deliverBy, queues } from '../../lib/platform/outbox.ts';

const deps = {
  mysql: mysql<CallTables>('mysql'),
  settings: settings('call', CallSettings),
  deliver: deliverBy(queues(callsToCharge)),
};

export const handler = consume(finishedCalls, (call) => filterCall(deps, call), deps);
