/** Lifts a charge stop and resumes the charges under it, once a person has checked why it was set. */

import { resumeCharging } from '../../lib/call/charging/resume-charging.ts';
import { ResumeCharging } from '../../lib/call/inputs.ts';
import { callsToCharge } from '../../lib/call/queues.ts';
import type { CallTables } from '../../lib/call/tables.ts';
import { byHand } from '../../lib/platform/lambda/by-hand.ts';
import { deliverBy, queueChannel } from '../../lib/platform/messaging/outbox.ts';
import { longStatements, mysql } from '../../lib/platform/mysql/mysql.ts';

const deps = {
  mysql: mysql<CallTables>('mysql', longStatements),
  deliver: deliverBy(queueChannel(callsToCharge)),
};

export const handler = byHand(ResumeCharging, (input, hand) => resumeCharging(deps, input, hand));
