/** Lets charges go on that a stop holds, for who has looked at why it was set. */
import { ResumeCharging } from '../../lib/call/inputs.ts';
import { callsToCharge } from '../../lib/call/queues.ts';
import { resumeCharging } from '../../lib/call/stops.ts';
import type { CallTables } from '../../lib/call/tables.ts';
import { byHand } from '../../lib/platform/by-hand.ts';
import { longStatements, mysql } from '../../lib/platform/mysql.ts';
import { deliverBy, queues } from '../../lib/platform/outbox.ts';

const deps = {
  mysql: mysql<CallTables>('mysql', longStatements),
  deliver: deliverBy(queues(callsToCharge)),
};

export const handler = byHand(ResumeCharging, (input, hand) => resumeCharging(deps, input, hand));
