/** Sends again what the push service refused, once a person has mended why. */
import { Resend } from '../../lib/order/inputs.ts';
import { pushesToSend } from '../../lib/order/queues.ts';
import { resendPush } from '../../lib/order/resends.ts';
import type { PushTables } from '../../lib/order/tables.ts';
import { byHand } from '../../lib/platform/by-hand.ts';
import { mysql } from '../../lib/platform/mysql.ts';
import { deliverBy, queues } from '../../lib/platform/outbox.ts';

const deps = { mysql: mysql<PushTables>('mysql'), deliver: deliverBy(queues(pushesToSend)) };

export const handler = byHand(Resend, (input) => resendPush(deps, input));
