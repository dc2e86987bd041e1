/** Prevents reuse of payment ids after a database restore, for operators: `npm run ops -- run call/advance-payment-ids`. */
import { AdvancePaymentIds } from '../../lib/call/inputs.ts';
import { advancePaymentIds } from '../../lib/call/migration/advance-payment-ids.ts';
import { PaymentAccount, payments } from '../../lib/call/partners/payment-centre.ts';
import { CallSettings } from '../../lib/call/settings.ts';
import type { CallTables } from '../../lib/call/tables.ts';
import { byHand } from '../../lib/platform/lambda/by-hand.ts';
import { settings } from '../../lib/platform/lambda/config.ts';
import { secret } from '../../lib/platform/lambda/secret.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { switches } from '../../lib/platform/operations/switches.ts';

const db = mysql<CallTables>('mysql');
const deps = {
  mysql: db,
  payments: payments(settings('call', CallSettings), secret('payment', PaymentAccount)),
  firstSwitchOff: switches({ mysql: db }),
};

export const handler = byHand(AdvancePaymentIds, (input, hand) =>
  advancePaymentIds(deps, input, hand),
);
