/** Ends a charge or a reversal that nothing else can end, when a person runs `npm run ops -- run call/settle-by-hand`. */
import type { AccountingTables } from '../../lib/call/accounting-tables.ts';
import { SettleByHand } from '../../lib/call/inputs.ts';
import { PaymentAccount, payments } from '../../lib/call/partners/payment-centre.ts';
import { callsToCharge, listingSwitches } from '../../lib/call/queues.ts';
import { CallSettings } from '../../lib/call/settings.ts';
import { settleByHand } from '../../lib/call/settlement/settle-by-hand.ts';
import { byHand } from '../../lib/platform/lambda/by-hand.ts';
import { settings } from '../../lib/platform/lambda/config.ts';
import { secret } from '../../lib/platform/lambda/secret.ts';
import { deliverBy, queueChannel } from '../../lib/platform/messaging/outbox.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { switches } from '../../lib/platform/operations/switches.ts';

const [db, document] = [mysql<AccountingTables>('mysql'), settings('call', CallSettings)];
const deps = {
  mysql: db,
  settings: document,
  payments: payments(document, secret('payment', PaymentAccount)),
  deliver: deliverBy(queueChannel(callsToCharge, listingSwitches)),
  firstSwitchOff: switches({ mysql: db }),
};

export const handler = byHand(SettleByHand, (input) => settleByHand(deps, input));
