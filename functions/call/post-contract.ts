/** Stores the contracts that owners sign, from which their calls are paid, and posts them to K3. */

import { postContract } from '../../lib/call/accounting/post-contract.ts';
import type { AccountingTables } from '../../lib/call/accounting-tables.ts';
import { k3 } from '../../lib/call/partners/k3.ts';
import { signedContracts } from '../../lib/call/queues.ts';
import { CallSettings } from '../../lib/call/settings.ts';
import { settings } from '../../lib/platform/lambda/config.ts';
import { consume } from '../../lib/platform/messaging/consume.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';
import { switches } from '../../lib/platform/operations/switches.ts';

const db = mysql<AccountingTables>('mysql');
const callSettings = settings('call', CallSettings);
const deps = {
  mysql: db,
  k3: k3(callSettings),
  settings: callSettings,
  firstSwitchOff: switches({ mysql: db }),
};

export const handler = consume(signedContracts, (one) => postContract(deps, one), { mysql: db });
