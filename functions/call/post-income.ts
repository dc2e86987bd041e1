/** Posts every charge to the owner's contracts, oldest first, for the accountants. */

import { postIncome } from '../../lib/call/accounting/post-income.ts';
import type { AccountingTables } from '../../lib/call/accounting-tables.ts';
import { CallSettings } from '../../lib/call/settings.ts';
import { settings } from '../../lib/platform/lambda/config.ts';
import { schedule } from '../../lib/platform/lambda/schedule.ts';
import { mysql } from '../../lib/platform/mysql/mysql.ts';

const deps = {
  mysql: mysql<AccountingTables>('mysql'),
  settings: settings('call', CallSettings),
};

export const handler = schedule((tick) => postIncome(deps, tick));
