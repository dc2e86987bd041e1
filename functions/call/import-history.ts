/** Copies the old system's rows before it is replaced, for operators: `npm run ops -- run call/import-history`. */
import type { AccountingTables } from '../../lib/call/accounting-tables.ts';
import { ImportHistory } from '../../lib/call/inputs.ts';
import { importHistory } from '../../lib/call/migration/import-history.ts';
import { CallSettings } from '../../lib/call/settings.ts';
import { byHand } from '../../lib/platform/lambda/by-hand.ts';
import { settings } from '../../lib/platform/lambda/config.ts';
import { longStatements, mysql } from '../../lib/platform/mysql/mysql.ts';
import { switches } from '../../lib/platform/operations/switches.ts';

const db = mysql<AccountingTables>('mysql', longStatements);
const deps = {
  mysql: db,
  settings: settings('call', CallSettings),
  firstSwitchOff: switches({ mysql: db }),
};

export const handler = byHand(ImportHistory, (input, hand) => importHistory(deps, input, hand));
