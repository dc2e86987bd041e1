/** Takes a wrong charge back, by new entries, for who runs `npm run ops -- run call/reverse-charge`. */
import type { AccountingTables } from '../../lib/call/accounting-tables.ts';
import { ReverseCharge } from '../../lib/call/inputs.ts';
import { PaymentAccount, payments } from '../../lib/call/payments.ts';
import { reverseCharge } from '../../lib/call/reversals.ts';
import { CallSettings } from '../../lib/call/settings.ts';
import { byHand } from '../../lib/platform/by-hand.ts';
import { settings } from '../../lib/platform/config.ts';
import { mysql } from '../../lib/platform/mysql.ts';
import { secret } from '../../lib/platform/secret.ts';
import { switches } from '../../lib/platform/switches.ts';

const db = mysql<AccountingTables>('mysql');
const deps = {
  mysql: db,
  payments: payments(settings('call', CallSettings), secret('payment', PaymentAccount)),
  stopped: switches({ mysql: db }),
};

export const handler = byHand(ReverseCharge, (asked) => reverseCharge(deps, asked));
