/** Finds out every five minutes what became of charges whose answer was lost, and settles all that was left open. */
import type { AccountingTables } from '../../lib/call/accounting-tables.ts';
import { PaymentAccount, payments } from '../../lib/call/partners/payment-centre.ts';
import { callsToCharge, listingSwitches } from '../../lib/call/queues.ts';
import { CallSettings } from '../../lib/call/settings.ts';
import { settleUnknownCharges } from '../../lib/call/settlement/settle-unknown-charges.ts';
import { settings } from '../../lib/platform/lambda/config.ts';
import { schedule } from '../../lib/platform/lambda/schedule.ts';
import { secret } from '../../lib/platform/lambda/secret.ts';
import { bus } from '../../lib/platform/messaging/bus.ts';
import { deliverBy, queueChannel } from '../../lib/platform/messaging/outbox.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { switches } from '../../lib/platform/operations/switches.ts';

const [db, document] = [mysql<AccountingTables>('mysql'), settings('call', CallSettings)];
const deps = {
  mysql: db,
  settings: document,
  payments: payments(document, secret('payment', PaymentAccount)),
  deliver: deliverBy(queueChannel(callsToCharge, listingSwitches), bus()),
  firstSwitchOff: switches({ mysql: db }),
  now: () => new Date(),
};
export const handler = schedule((tick) => settleUnknownCharges(deps, tick));
