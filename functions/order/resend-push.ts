/** Sends refused pushes again, after a person has removed the reason; run by a person. */
import { Resend } from '../../lib/order/inputs.ts';
import { resendPush } from '../../lib/order/pushes/resend-push.ts';
import { pushesToSend } from '../../lib/order/queues.ts';
import type { PushTables } from '../../lib/order/tables.ts';
import { byHand } from '../../lib/platform/lambda/by-hand.ts';
import { deliverBy, queueChannel } from '../../lib/platform/messaging/outbox.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';

const deps = { mysql: mysql<PushTables>('mysql'), deliver: deliverBy(queueChannel(pushesToSend)) };

export const handler = byHand(Resend, (input) => resendPush(deps, input));
