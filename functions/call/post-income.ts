/** Takes every charge out of the owner's contracts, oldest first, for those who keep the books. */
import type { AccountingTables } from '../../lib/call/accounting-tables.ts';
import { postIncome } from '../../lib/call/income.ts';
import { CallSettings } from '../../lib/call/settings.ts';
import { settings } from '../../lib/platform/config.ts';
import { mysql } from '../../lib/platform/mysql.ts';
import { schedule } from '../../lib/platform/schedule.ts';

const deps = {
  mysql: mysql<AccountingTables>('mysql'),
  settings: settings('call', CallSettings),
};

export const handler = schedule((tick) => postIncome(deps, tick));
