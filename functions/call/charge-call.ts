/** Charges each valid call to the owner who received it, exactly once. */
import { chargeCall } from '../../lib/call/charging/charge-call.ts';
import { PaymentAccount, payments } from '../../lib/call/partners/payment-centre.ts';
import { callsToCharge, listingSwitches } from '../../lib/call/queues.ts';
import { CallSettings } from '../../lib/call/settings.ts';
import type { CallTables } from '../../lib/call/tables.ts';
import { settings } from '../../lib/platform/lambda/config.ts';
import { secret } from '../../lib/platform/lambda/secret.ts';
import { consume } from '../../lib/platform/messaging/consume.ts';
import { deliverBy, queueChannel } from '../../lib/platform/messaging/outbox.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { switches } from '../../lib/platform/operations/switches.ts';

const [db, document] = [mysql<CallTables>('mysql'), settings('call', CallSettings)];
const deps = {
  mysql: db,
  settings: document,
  payments: payments(document, secret('payment', PaymentAccount)),
  deliver: deliverBy(queueChannel(listingSwitches)),
  firstSwitchOff: switches({ mysql: db }),
  now: () => new Date(),
};
export const handler = consume(callsToCharge, (call) => chargeCall(deps, call), { mysql: db });
