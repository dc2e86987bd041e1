/** Charges each valid call to the owner who got it, once, whatever happens on the way. */
import { chargeCall } from '../../lib/call/charges.ts';
import { PaymentAccount, payments } from '../../lib/call/payments.ts';
import { callsToCharge, listingSwitches } from '../../lib/call/queues.ts';
import { CallSettings } from '../../lib/call/settings.ts';
import type { CallTables } from '../../lib/call/tables.ts';
import { settings } from '../../lib/platform/config.ts';
import { consume } from '../../lib/platform/consume.ts';
import { mysql } from '../../lib/platform/mysql.ts';
import { deliverBy, queues } from '../../lib/platform/outbox.ts';
import { secret } from '../../lib/platform/secret.ts';
import { switches } from '../../lib/platform/switches.ts';

const [db, document] = [mysql<CallTables>('mysql'), settings('call', CallSettings)];
const deps = {
  mysql: db,
  settings: document,
  payments: payments(document, secret('payment', PaymentAccount)),
  deliver: deliverBy(queues(listingSwitches)),
  stopped: switches({ mysql: db }),
  now: () => new Date(),
};
export const handler = consume(callsToCharge, (call) => chargeCall(deps, call), { mysql: db });
