/** Compares all books with each other, daily or for days that a person names, and stores every difference. */
import type { AccountingTables } from '../../lib/call/accounting-tables.ts';
import { k3 } from '../../lib/call/partners/k3.ts';
import { PaymentAccount, payments } from '../../lib/call/partners/payment-centre.ts';
import { ReconcileDays, reconcile } from '../../lib/call/reconciliation/reconcile.ts';
import { CallSettings } from '../../lib/call/settings.ts';
import { byHand } from '../../lib/platform/lambda/by-hand.ts';
import { settings } from '../../lib/platform/lambda/config.ts';
import { secret } from '../../lib/platform/lambda/secret.ts';
import { longStatements, mysql } from '../../lib/platform/mysql/mysql.ts';
import { switches } from '../../lib/platform/operations/switches.ts';

const callSettings = settings('call', CallSettings);
const db = mysql<AccountingTables>('mysql', longStatements);
const deps = {
  mysql: db,
  payments: payments(callSettings, secret('payment', PaymentAccount)),
  k3: k3(callSettings),
  settings: callSettings,
  firstSwitchOff: switches({ mysql: db }),
};

export const handler = byHand(ReconcileDays, (days, hand) => reconcile(deps, days, hand));
