/** Ends a charge or a reversal that nothing else can end, for who runs `npm run ops -- run call/settle-by-hand`. */
import type { AccountingTables } from '../../lib/call/accounting-tables.ts';
import { settleByHand } from '../../lib/call/hand-settlement.ts';
import { SettleByHand } from '../../lib/call/inputs.ts';
import { PaymentAccount, payments } from '../../lib/call/payments.ts';
import { callsToCharge, listingSwitches } from '../../lib/call/queues.ts';
import { CallSettings } from '../../lib/call/settings.ts';
import { byHand } from '../../lib/platform/by-hand.ts';
import { settings } from '../../lib/platform/config.ts';
import { mysql } from '../../lib/platform/mysql.ts';
import { deliverBy, queues } from '../../lib/platform/outbox.ts';
import { secret } from '../../lib/platform/secret.ts';
import { switches } from '../../lib/platform/switches.ts';

const [db, document] = [mysql<AccountingTables>('mysql'), settings('call', CallSettings)];
const deps = {
  mysql: db,
  settings: document,
  payments: payments(document, secret('payment', PaymentAccount)),
  deliver: deliverBy(queues(callsToCharge, listingSwitches)),
  stopped: switches({ mysql: db }),
};

export const handler = byHand(SettleByHand, (asked) => settleByHand(deps, asked));
