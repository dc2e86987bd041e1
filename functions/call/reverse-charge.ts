/** Reverses a wrong charge by new entries, when a person runs `npm run ops -- run call/reverse-charge`. */
import type { AccountingTables } from '../../lib/call/accounting-tables.ts';
import { ReverseCharge } from '../../lib/call/inputs.ts';
import { PaymentAccount, payments } from '../../lib/call/partners/payment-centre.ts';
import { CallSettings } from '../../lib/call/settings.ts';
import { reverseCharge } from '../../lib/call/settlement/reverse-charge.ts';
import { byHand } from '../../lib/platform/lambda/by-hand.ts';
import { settings } from '../../lib/platform/lambda/config.ts';
import { secret } from '../../lib/platform/lambda/secret.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { switches } from '../../lib/platform/operations/switches.ts';

const db = mysql<AccountingTables>('mysql');
const deps = {
  mysql: db,
  payments: payments(settings('call', CallSettings), secret('payment', PaymentAccount)),
  firstSwitchOff: switches({ mysql: db }),
};

export const handler = byHand(ReverseCharge, (input) => reverseCharge(deps, input));
